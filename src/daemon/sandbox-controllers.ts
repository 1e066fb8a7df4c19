import { join } from "node:path";
import type { NativeBinding } from "../fuse/index.js";
import { openProxySandboxes, openShimSandboxes, type SandboxController } from "../runtime/index.js";
import type { Config } from "./config-keys.js";
import { proxied } from "./proxied-parts.js";
import type { Startup } from "./startup.js";

export interface SandboxControllersOptions {
  readonly config: Config;
  readonly version: string;
  readonly binding: NativeBinding;
}

/** As containerd calls the folder of this controller. */
const FOLDER = "io.containerd.sandbox.controller.v1.shim";

/** Opens the controllers that are built in and those of others, by the names that clients ask for. */
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
  const controllers = new Map<string, SandboxController>([["shim", shim]]);
  for (const [name, { address: socket, connectTimeoutMs, callTimeoutMs }] of proxied(config, "sandbox")) {
    const opened = await startup.part(
      `sandbox controller ${name}`,
      () => openProxySandboxes({ name, address: socket, connectTimeoutMs, callTimeoutMs }),
      (controller) => controller.close(),
    );
    controllers.set(name, opened);
  }
  return controllers;
}
