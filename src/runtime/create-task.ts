import { LazuliError, notFound } from "../errors/index.js";
import { anyField } from "./any-values.js";
import { parseSandboxAddress } from "./bootstrap.js";
import { type Bundle, createBundle, deleteBundle } from "./bundle.js";
import type { CreateTask } from "./contract.js";
import { shutDown } from "./held-task.js";
import { deleteDead, joinShim, type Shim, type ShimSettings, startShim } from "./shim.js";
import { shimProgram } from "./shim-program.js";

export interface CreatedTask {
  readonly shim: Shim;
  readonly pid: number;
}

export interface CreateTaskOptions {
  readonly signal?: AbortSignal | undefined;
  /** The shim of a sandbox's own task. */
  readonly sandboxShim: Shim | undefined;
}

/** Bundle, shim, task: all of it, or nothing is left. */
export async function createTask(
  settings: ShimSettings,
  request: CreateTask,
  options: CreateTaskOptions,
): Promise<CreatedTask> {
  const { daemonProgram } = settings;
  const program = await shimProgram({ runtime: request.runtime, daemonProgram }).catch((thrown: unknown) => {
    throw within("failed to start shim: failed to resolve runtime path", thrown);
  });
  const bundle = await createBundle(settings.folders, request);
  const shim = await shimFor(settings, { request, bundle, program }, options);
  try {
    const { rootfs, io, checkpointFolder } = request;
    const taskOptions = request.taskOptions ?? request.runtimeOptions;
    const { pid } = await shim.tasks.call(
      "create",
      {
        id: request.id,
        bundle: bundle.path,
        rootfs: rootfs.map((mount) => ({ ...mount, options: [...mount.options] })),
        ...io,
        checkpoint: checkpointFolder,
        ...anyField("options", taskOptions),
      },
      { timeoutMs: settings.timeouts.callMs, signal: options.signal },
    );
    return { shim, pid };
  } catch (thrown) {
    await takeBack(settings, shim);
    throw within("failed to create shim task", thrown);
  }
}

async function shimFor(
  settings: ShimSettings,
  parts: { readonly request: CreateTask; readonly bundle: Bundle; readonly program: string },
  { signal, sandboxShim }: CreateTaskOptions,
): Promise<Shim> {
  const { request, bundle, program } = parts;
  const { sandboxId, sandboxAddress } = request;
  try {
    if (sandboxId === "") {
      return await startShim(settings, { bundle, program, options: request.runtimeOptions }, { signal });
    }
    if (sandboxAddress !== "") {
      const address = parseSandboxAddress(sandboxAddress);
      return await joinShim(settings, { bundle, program, address, sandboxId }, { signal });
    }
    if (sandboxShim === undefined) {
      throw notFound(`can't find sandbox ${sandboxId}`, { subject: sandboxId, reason: "sandbox-missing" });
    }
    return await joinShim(settings, { ...sandboxShim, bundle, sandboxId }, { signal });
  } catch (thrown) {
    // A shim that has started but does not answer ends by its own program. There is nothing to end in a sandbox's shim.
    if (sandboxId === "") await deleteDead(settings, { bundle, program });
    else await deleteBundle(bundle, settings.binding);
    throw within("failed to start shim", thrown);
  }
}

/** After a failed Create the shim may have none of the task, or half of it, which only its program can take away. */
async function takeBack(settings: ShimSettings, shim: Shim): Promise<void> {
  const { bundle, program } = shim;
  const timeoutMs = settings.timeouts.cleanupMs;
  // Mostly NOT_FOUND: there is nothing to delete. A shim that hangs or has gone is dealt with below.
  await shim.tasks.call("delete", { id: bundle.id }, { timeoutMs }).catch(() => undefined);
  if (shim.sandboxId === "") await shutDown(shim, settings);
  shim.close();
  await deleteDead(settings, { bundle, program });
}

/** The same error, said to be of what we did. */
function within(what: string, thrown: unknown): LazuliError {
  const { code, message, subject, hint, reason } = LazuliError.from(thrown);
  return new LazuliError(code, `${what}: ${message}`, {
    ...(subject === undefined ? {} : { subject }),
    ...(hint === undefined ? {} : { hint }),
    ...(reason === undefined ? {} : { reason }),
    cause: thrown,
  });
}
