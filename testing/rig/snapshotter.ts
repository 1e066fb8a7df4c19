import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type CommandResult, command } from "./command.js";
import { startService } from "./service.js";

export interface SnapshotterOptions {
  /** Everything it has lies below: config, root, state, socket, log. */
  readonly folder: string;
  /** Further lines of the config file. */
  readonly config?: string;
  readonly env?: NodeJS.ProcessEnv;
}

export interface RunningSnapshotter {
  readonly socket: string;
  readonly root: string;
  readonly state: string;
  readonly logFile: string;
  readonly configFile: string;
  readonly pid: number;
  lazuli(args: readonly string[]): Promise<CommandResult>;
  stop(signal?: NodeJS.Signals): Promise<void>;
}

const program = fileURLToPath(new URL("../../../bin/lazuli", import.meta.url));

/** `lazuli snapshotter` as a process of its own, on folders of its own. */
export async function startSnapshotter(options: SnapshotterOptions): Promise<RunningSnapshotter> {
  const { folder } = options;
  const socket = join(folder, "lazuli.sock");
  const root = join(folder, "root");
  const state = join(folder, "state");
  const logFile = join(folder, "lazuli.log");
  const configFile = join(folder, "config.toml");
  await mkdir(folder, { recursive: true });
  const config = `root = "${root}"\nstate = "${state}"\n[snapshotter]\naddress = "${socket}"\n${options.config ?? ""}`;
  await writeFile(configFile, config);
  const service = await startService({
    program,
    args: ["snapshotter", "--config", configFile],
    ...(options.env === undefined ? {} : { env: options.env }),
    logFile,
    ready: socket,
  });
  return {
    socket,
    root,
    state,
    logFile,
    configFile,
    pid: service.pid,
    lazuli: async (args) => await command(program, [...args, "--address", socket]),
    stop: service.stop,
  };
}
