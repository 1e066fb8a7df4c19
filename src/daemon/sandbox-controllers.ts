import { join } from "node:path";
import type { NativeBinding } from "../fuse/index.js";
import { openShimSandboxes, type SandboxController } from "../runtime/index.js";
import type { Config } from "./config-keys.js";
import type { Startup } from "./startup.js";

export interface SandboxControllersOptions {
  readonly config: Config;
  readonly version: string;
  readonly binding: NativeBinding;
}

/** As containerd calls the folder of this controller. */
const FOLDER = "io.containerd.sandbox.controller.v1.shim";

/** Opens the controllers that are built in, by the names that clients ask for. */
export async function startSandboxControllers(
  startup: Startup,
  { config, version, binding }: SandboxControllersOptions,
): Promise<Map<string, SandboxController>> {
  const { address } = config.daemon;
  const shim = await startup.part(
    "sandboxes in shims",
    () =>
      openShimSandboxes({
        folders: { root: join(config.root, FOLDER), state: join(config.state, FOLDER) },
        address,
        eventsAddress: `${address}.ttrpc`,
        daemonProgram: process.argv[1] ?? process.execPath,
        version,
        isDebug: false,
        binding,
        now: () => binding.realtimeNanoseconds(),
      }),
    (opened) => opened.close(),
  );
  return new Map([["shim", shim]]);
}
