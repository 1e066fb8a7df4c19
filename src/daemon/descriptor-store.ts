import { join } from "node:path";
import { LazuliError } from "../errors/index.js";
import {
  type DescriptorStore,
  endKeeper,
  hasSystemdStore,
  type NativeBinding,
  openKeeperStore,
  openSystemdStore,
} from "../fuse/index.js";
import { log } from "../observe/index.js";
import type { Config } from "./config-keys.js";

/**
 * What holds the FUSE mounts for the next process, as `[layer] keeper` says. A node without one works; its lazy layers
 * end with the process, which is told.
 */
export async function descriptorStore(options: {
  readonly config: Pick<Config, "layer" | "state">;
  readonly binding: NativeBinding;
  readonly environment: Readonly<Record<string, string | undefined>>;
}): Promise<DescriptorStore | undefined> {
  const { config, binding, environment } = options;
  const { keeper } = config.layer;
  const folder = join(config.state, "keeper");
  if (keeper === "off") {
    // One of an earlier config would hold readers for ever.
    await endKeeper({ binding, folder });
    return undefined;
  }
  if (keeper === "systemd" || (keeper === "auto" && hasSystemdStore(environment))) {
    return openSystemdStore({ binding, environment, pid: process.pid });
  }
  try {
    return await openKeeperStore({ binding, folder });
  } catch (thrown) {
    log.warn("Lazy layers end with this process: their keeper does not run", {
      error: LazuliError.from(thrown).message,
    });
    return undefined;
  }
}
