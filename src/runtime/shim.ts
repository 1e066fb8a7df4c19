import { fromBinary } from "@bufbuild/protobuf";
import { DeleteResponseSchema } from "../../gen/containerd/task/v3/shim_pb.js";
import { delay, linkSignals } from "../async/index.js";
import { internal, LazuliError } from "../errors/index.js";
import type { AnyValue } from "../metadata/index.js";
import type { MountBinding } from "../mounts/index.js";
import { log } from "../observe/index.js";
import {
  bootstrapJson,
  bootstrapParams,
  optionsInput,
  parseBootstrap,
  parseBootstrapJson,
  type ShimAddress,
} from "./bootstrap.js";
import { type Bundle, type BundleFolders, bundleFile, deleteBundle, writeBundleFile } from "./bundle.js";
import type { ProcessExit } from "./contract.js";
import { type FifoBinding, openLogPipe } from "./log-pipe.js";
import { type ProgramResult, runProgram } from "./run-program.js";
import { connectShim, type ShimConnection } from "./shim-connection.js";
import { ShimTasks } from "./shim-tasks.js";
import type { RuntimeTimeouts } from "./timeouts.js";
import { timeOf } from "./times.js";

/** What all shims of a daemon are told. */
export interface ShimSettings {
  readonly folders: BundleFolders;
  /** gRPC socket of the daemon. */
  readonly address: string;
  /** Where shims send their events. */
  readonly eventsAddress: string;
  /** Path of the daemon's own program. */
  readonly daemonProgram: string;
  readonly version: string;
  readonly isDebug: boolean;
  readonly timeouts: RuntimeTimeouts;
  readonly binding: MountBinding & FifoBinding;
}

/** A connection to the shim of one task; tasks of a sandbox have one each to the same shim. */
export interface Shim {
  readonly bundle: Bundle;
  readonly program: string;
  readonly address: ShimAddress;
  readonly connection: ShimConnection;
  readonly tasks: ShimTasks;
  /** Undefined: it did not tell. */
  readonly pid: number | undefined;
  /** "" for a shim of the task's own. */
  readonly sandboxId: string;
  close(): void;
}

interface CallOptions {
  readonly signal?: AbortSignal | undefined;
}

/** Of a daemon that starts shims in many versions: what its `start` reads is found out once, by its path. */
const readsParams = new Set<string>();

/** Starts a shim of its own for the bundle and connects to it. @throws UNKNOWN with what it printed; as connectShim */
export async function startShim(
  settings: ShimSettings,
  request: { readonly bundle: Bundle; readonly program: string; readonly options: AnyValue | undefined },
  { signal }: CallOptions,
): Promise<Shim> {
  const { bundle, program } = request;
  await writeBundleFile(bundle, { name: "shim-binary-path", text: program });
  const pipe = await openLogPipe({ path: `${bundle.path}/log`, id: bundle.id, binding: settings.binding });
  try {
    const address = await runStart(settings, { ...request, signal });
    await writeBundleFile(bundle, { name: "bootstrap.json", text: bootstrapJson(address) });
    return await connectedShim(settings, {
      bundle,
      program,
      address,
      sandboxId: "",
      pipe,
      isNew: true,
      signal,
    });
  } catch (thrown) {
    pipe[Symbol.dispose]();
    throw thrown;
  }
}

/** Connects to the shim that serves a sandbox, for a further task in it. */
export async function joinShim(
  settings: ShimSettings,
  request: {
    readonly bundle: Bundle;
    readonly program: string;
    readonly address: ShimAddress;
    readonly sandboxId: string;
  },
  { signal }: CallOptions,
): Promise<Shim> {
  const { bundle, program, address, sandboxId } = request;
  await writeBundleFile(bundle, { name: "shim-binary-path", text: program });
  await writeBundleFile(bundle, { name: "sandbox", text: sandboxId });
  await writeBundleFile(bundle, { name: "bootstrap.json", text: bootstrapJson(address) });
  return await connectedShim(settings, { ...request, pipe: undefined, isNew: false, signal });
}

/** Connects to the shim of a bundle that was there before us. @throws INTERNAL for a bundle without an address */
export async function loadShim(settings: ShimSettings, bundle: Bundle): Promise<Shim> {
  const program = await bundleFile(bundle, "shim-binary-path");
  const json = await bundleFile(bundle, "bootstrap.json");
  const plain = json === undefined ? await bundleFile(bundle, "address") : undefined;
  if (program === undefined || (json ?? plain ?? "") === "") {
    throw internal(`Cannot load ${bundle.path}: want the address of a shim, got none`, {
      subject: bundle.id,
      reason: "bundle-invalid",
    });
  }
  const address = json === undefined ? parseBootstrap(Buffer.from(plain ?? "")) : parseBootstrapJson(json);
  const sandboxId = (await bundleFile(bundle, "sandbox")) ?? "";
  const pipe =
    sandboxId === ""
      ? await openLogPipe({ path: `${bundle.path}/log`, id: bundle.id, binding: settings.binding })
      : undefined;
  try {
    return await connectedShim(settings, { bundle, program, address, sandboxId, pipe, isNew: false });
  } catch (thrown) {
    pipe?.[Symbol.dispose]();
    throw thrown;
  }
}

/**
 * What a dead shim's program knows of its task: runs `delete`, which ends what still runs, and takes the bundle away.
 * Undefined when it could not tell; the bundle goes all the same.
 */
export async function deleteDead(
  settings: ShimSettings,
  { bundle, program }: { readonly bundle: Bundle; readonly program: string | undefined },
): Promise<ProcessExit | undefined> {
  let exit: ProcessExit | undefined;
  try {
    if (program !== undefined) exit = await runDelete(settings, bundle, program);
  } catch (thrown) {
    const { message } = LazuliError.from(thrown);
    log.warn("Cannot clean up after a shim by its own program", { id: bundle.id, error: message });
  }
  await deleteBundle(bundle, settings.binding);
  return exit;
}

async function runDelete(settings: ShimSettings, bundle: Bundle, program: string): Promise<ProcessExit> {
  const { timeouts } = settings;
  const args = [...commonArgs(settings, bundle), "-bundle", bundle.path, "delete"];
  const result = await runProgram({
    program,
    args,
    folder: bundle.path,
    env: environment(settings, bundle),
    stdin: new Uint8Array(),
    timeoutMs: timeouts.cleanupMs,
  });
  if (!result.isSuccess) throw failed("delete failed", result);
  const { pid, exitStatus, exitedAt } = fromBinary(DeleteResponseSchema, result.stdout);
  return { pid, exitStatus, exitedAt: timeOf(exitedAt) };
}

async function runStart(
  settings: ShimSettings,
  request: {
    readonly bundle: Bundle;
    readonly program: string;
    readonly options: AnyValue | undefined;
    readonly signal: AbortSignal | undefined;
  },
): Promise<ShimAddress> {
  const { bundle, program, options, signal } = request;
  const args = [...commonArgs(settings, bundle), ...(settings.isDebug ? ["-debug"] : []), "start"];
  const run = (stdin: Uint8Array): Promise<ProgramResult> =>
    runProgram({
      program,
      args,
      folder: bundle.path,
      env: environment(settings, bundle),
      stdin,
      timeoutMs: settings.timeouts.startMs,
      signal,
    });
  const params = (): Uint8Array => bootstrapParams({ ...settings, ...bundle, options });
  const isModern = readsParams.has(program);
  const first = await run(isModern ? params() : optionsInput(options));
  if (first.isSuccess) return parseBootstrap(first.stdout);
  if (isModern) throw failed("start failed", first);
  // Each kind of shim refuses the other's input before it starts anything.
  const second = await run(params());
  if (!second.isSuccess) throw failed("start failed", /bootstrap/i.test(first.stderr) ? second : first);
  readsParams.add(program);
  return parseBootstrap(second.stdout);
}

function failed(what: string, { stdout, stderr }: ProgramResult): LazuliError {
  const told = `${stdout.toString("utf8")}${stderr}`.trim().slice(-TOLD_LENGTH_MAX);
  return new LazuliError("UNKNOWN", `${what}: ${told === "" ? "no output" : told}`, {
    reason: "shim-start-failed",
  });
}

/** Characters of what a shim printed that go into an error. */
const TOLD_LENGTH_MAX = 2000;

function commonArgs({ address, daemonProgram }: ShimSettings, { namespace, id }: Bundle): string[] {
  return ["-namespace", namespace, "-address", address, "-publish-binary", daemonProgram, "-id", id];
}

function environment({ address, eventsAddress }: ShimSettings, { namespace }: Bundle): NodeJS.ProcessEnv {
  return {
    ...process.env,
    GOMAXPROCS: "2",
    MAX_SHIM_VERSION: "2",
    TTRPC_ADDRESS: eventsAddress,
    GRPC_ADDRESS: address,
    NAMESPACE: namespace,
  };
}

interface ConnectedShim {
  readonly bundle: Bundle;
  readonly program: string;
  readonly address: ShimAddress;
  readonly sandboxId: string;
  readonly pipe?: Disposable | undefined;
  /** It may print its address before it listens. */
  readonly isNew: boolean;
  readonly signal?: AbortSignal | undefined;
}

async function connectedShim(settings: ShimSettings, parts: ConnectedShim): Promise<Shim> {
  const { bundle, program, address, sandboxId, pipe, signal } = parts;
  const { loadMs } = settings.timeouts;
  const connection = await connectPatiently(settings, parts);
  const tasks = new ShimTasks(connection, address.version);
  try {
    const pid = await shimPid(tasks, { id: bundle.id, timeoutMs: loadMs, signal });
    return {
      bundle,
      program,
      address,
      connection,
      tasks,
      pid,
      sandboxId,
      close: () => {
        connection.close();
        pipe?.[Symbol.dispose]();
      },
    };
  } catch (thrown) {
    connection.close();
    throw thrown;
  }
}

const RETRY_MS = 10;

async function connectPatiently(settings: ShimSettings, parts: ConnectedShim): Promise<ShimConnection> {
  const { address, bundle, isNew, signal } = parts;
  const timeoutMs = settings.timeouts.loadMs;
  using limit = linkSignals([signal], timeoutMs);
  for (;;) {
    try {
      return await connectShim({ address, namespace: bundle.namespace, timeoutMs, signal });
    } catch (thrown) {
      const { code } = LazuliError.from(thrown);
      if (!isNew || limit.signal.aborted || (code !== "NOT_FOUND" && code !== "UNAVAILABLE")) throw thrown;
      await delay(RETRY_MS);
    }
  }
}

/** Shims that know no task yet may say so: only the pid is lost then. */
async function shimPid(
  tasks: ShimTasks,
  {
    id,
    timeoutMs,
    signal,
  }: { readonly id: string; readonly timeoutMs: number; readonly signal: AbortSignal | undefined },
): Promise<number | undefined> {
  try {
    const answer = await tasks.call("connect", { id }, { timeoutMs, signal });
    return answer.shimPid > 1 ? answer.shimPid : undefined;
  } catch (thrown) {
    if (thrown instanceof LazuliError && thrown.reason === "shim-refused") return undefined;
    throw thrown;
  }
}
