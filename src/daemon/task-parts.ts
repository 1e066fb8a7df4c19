import type { EventExchange } from "../events/index.js";
import type { NativeBinding } from "../fuse/index.js";
import type { MountManager } from "../mounts/index.js";
import { openTaskManager, serveShimEvents, type TaskManager } from "../runtime/index.js";
import type { Config } from "./config-keys.js";
import type { Startup } from "./startup.js";

export interface TaskPartsOptions {
  readonly config: Config;
  readonly version: string;
  readonly binding: NativeBinding;
  readonly events: EventExchange;
  readonly mounts: MountManager;
}

/** Only shims send events there, and they run as we do. */
const SOCKET_MODE = 0o600;

/** Takes the events of shims first: those that run on from before may tell some at once. Then finds their tasks. */
export async function startTasks(startup: Startup, options: TaskPartsOptions): Promise<TaskManager> {
  const { config, version, binding, events, mounts } = options;
  const { address } = config.daemon;
  const eventsAddress = `${address}.ttrpc`;
  await startup.part(
    "events of shims",
    () => serveShimEvents({ socketPath: eventsAddress, mode: SOCKET_MODE, events }),
    (server) => server.close(),
  );
  return await startup.part(
    "tasks",
    () =>
      openTaskManager({
        folders: { root: config.root, state: config.state },
        address,
        eventsAddress,
        daemonProgram: process.argv[1] ?? process.execPath,
        version,
        isDebug: false,
        binding,
        events,
        mounts,
        timeouts: config.shims,
        now: () => binding.realtimeNanoseconds(),
      }),
    (tasks) => tasks.close(),
  );
}
