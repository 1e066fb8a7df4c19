import { LazuliError, notFound } from "../errors/index.js";
import type { ContainerRow } from "../metadata/index.js";
import type { TaskManager } from "../runtime/index.js";
import type { Mount, NamespacedSnapshotter } from "../snapshotters/index.js";
import type { RestartTasks } from "./restart-monitor.js";

export interface RestartTasksOptions {
  readonly tasks: TaskManager;
  readonly snapshotters: ReadonlyMap<string, NamespacedSnapshotter>;
}

const SIGKILL = 9;
/** Of the first process. */
const FIRST = { execId: "" } as const;

/** Does with tasks what a restart asks for, as containerd's client does it. */
export function restartTasks(options: RestartTasksOptions): RestartTasks {
  const { tasks } = options;
  return {
    status: async ({ namespace, id }, { signal }) => {
      const state = await found(tasks.state({ namespace, id, ...FIRST }, { signal }));
      return state === undefined ? undefined : { state: state.status, exitStatus: state.exitStatus };
    },
    end: async ({ namespace, id }, { signal }) => {
      const name = { namespace, id };
      if ((await found(tasks.state({ ...name, ...FIRST }, { signal }))) === undefined) return;
      const ended = tasks.wait({ ...name, ...FIRST }, { signal });
      // The kill tells what is wrong where both fail.
      ended.catch(() => undefined);
      try {
        await tasks.kill({ ...name, ...FIRST, signalNumber: SIGKILL, all: true }, { signal });
        await ended;
      } catch (thrown) {
        // It may have ended before the signal came: then the delete goes well.
        await tasks.delete(name, { signal }).catch(() => {
          throw thrown;
        });
        return;
      }
      await found(tasks.delete(name, { signal }));
    },
    start: async ({ container, logUri }, { signal }) => {
      const { namespace, id, runtime, spec, sandboxId } = container;
      const terminal = logUri !== "" && wantsTerminal(container);
      await tasks.create(
        {
          namespace,
          id,
          runtime: runtime.name,
          runtimeOptions: runtime.options,
          taskOptions: undefined,
          spec,
          rootfs: await rootfsOf(container, options),
          io: { stdin: "", stdout: logUri, stderr: logUri, terminal },
          checkpointFolder: "",
          sandboxId,
          sandboxAddress: "",
        },
        { signal },
      );
      await tasks.start({ namespace, id, ...FIRST }, { signal });
    },
  };
}

async function rootfsOf(
  { namespace, snapshotter, snapshotKey }: ContainerRow,
  { snapshotters }: RestartTasksOptions,
): Promise<readonly Mount[]> {
  if (snapshotKey === "") return [];
  const served = snapshotters.get(snapshotter);
  if (served === undefined) {
    throw notFound(`snapshotter not loaded: ${snapshotter}`, {
      subject: snapshotter,
      reason: "snapshotter-unknown",
    });
  }
  return await served.for({ namespace }).mounts(snapshotKey);
}

/** What the spec, an OCI runtime specification in JSON, says of its process. */
function wantsTerminal({ spec }: ContainerRow): boolean {
  if (spec === undefined) return false;
  try {
    const read = JSON.parse(Buffer.from(spec.value).toString("utf8")) as {
      readonly process?: { readonly terminal?: unknown };
    };
    return read.process?.terminal === true;
  } catch {
    // The runtime tells what is wrong with the spec when it is started.
    return false;
  }
}

/** Undefined where there is none. */
async function found<Value>(asked: Promise<Value>): Promise<Value | undefined> {
  try {
    return await asked;
  } catch (thrown) {
    if (LazuliError.from(thrown).code === "NOT_FOUND") return undefined;
    throw thrown;
  }
}
