import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { unmountBelow } from "./containerd.js";
import { startService } from "./service.js";

export interface DaemonOptions {
  /** Everything it has lies below: config, root, state, socket, log. */
  readonly folder: string;
  /** Left out: a socket in the folder. */
  readonly address?: string;
  /** Further keys of the daemon, then further tables of the config file. */
  readonly config?: string;
  readonly env?: NodeJS.ProcessEnv;
}

export interface RunningDaemon {
  readonly address: string;
  readonly root: string;
  readonly logFile: string;
  readonly configFile: string;
  readonly pid: number;
  stop(signal?: NodeJS.Signals): Promise<void>;
}

const program = fileURLToPath(new URL("../../../bin/lazuli", import.meta.url));

/** `lazuli daemon` as a process of its own, on folders of its own. */
export async function startDaemon(options: DaemonOptions): Promise<RunningDaemon> {
  const { folder } = options;
  const address = options.address ?? join(folder, "daemon.sock");
  const root = join(folder, "root");
  const logFile = join(folder, "lazuli.log");
  const configFile = join(folder, "config.toml");
  await mkdir(folder, { recursive: true });
  const top = `root = "${root}"\nstate = "${join(folder, "state")}"\n`;
  const config = options.config ?? "";
  // The default socket is the node's, and tests run side by side.
  const nri = config.includes("[nri]") ? "" : `[nri]\nsocket_path = "${join(folder, "nri.sock")}"\n`;
  await writeFile(configFile, `${top}[daemon]\naddress = "${address}"\n${config}\n${nri}`);
  const service = await startService({
    program,
    args: ["daemon", "--config", configFile],
    ...(options.env === undefined ? {} : { env: options.env }),
    logFile,
    ready: address,
  });
  return {
    address,
    root,
    logFile,
    configFile,
    pid: service.pid,
    stop: async (signal) => {
      await service.stop(signal);
      await unmountBelow(folder);
    },
  };
}
