import { cp, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { command, type Service, startService } from "../tools/index.js";
import type { LazuliParts } from "./engine.js";

/** What lazuli's commands end with where there is no such thing. */
const EXIT_NOT_FOUND = 5;

/** Of lazuli's root: where it keeps profiles. */
export const PROFILES = "profiles";

export interface StartLazuliOptions {
  readonly role: "snapshotter" | "daemon";
  readonly folder: string;
  /** The program, with the words before its command. */
  readonly program: readonly string[];
  /** containerd's certs.d. */
  readonly hostsFolder: string;
  /** Of the containerd that it is plugged into. */
  readonly containerdSocket: string | undefined;
  /** Copied below its root before it starts. */
  readonly profiles: string | undefined;
  readonly isForLearning: boolean;
  readonly signal: AbortSignal;
}

export interface RunningLazuli extends LazuliParts {
  readonly socket: string;
  readonly service: Service;
}

/** What a node has by default, but for places; it ends with its mounts. */
export async function startLazuli(options: StartLazuliOptions): Promise<RunningLazuli> {
  const { role, folder, program, containerdSocket, signal } = options;
  await mkdir(folder, { recursive: true });
  const at = (name: string): string => join(folder, name);
  const [socket, root, metricsSocket, configFile] = ["sock", "root", "metrics", "config.toml"].map(at);
  const lines = [
    `root = "${root}"`,
    `state = "${at("state")}"`,
    `[layer]\nkeeper = "off"\nbackground_fill = ${!options.isForLearning}`,
    `[registry]\nconfig_path = ["${options.hostsFolder}"]`,
    `[metrics]\naddress = "${metricsSocket}"`,
    role === "snapshotter"
      ? `[snapshotter]\naddress = "${socket}"`
      : `[daemon]\naddress = "${socket}"\n[nri]\nsocket_path = "${at("nri.sock")}"`,
    ...(containerdSocket === undefined ? [] : [`[containerd]\naddress = "${containerdSocket}"`]),
  ];
  if (options.profiles !== undefined) {
    // It refuses folders that others may look into.
    await mkdir(root!, { mode: 0o700 });
    await cp(options.profiles, join(root!, PROFILES), { recursive: true });
  }
  await writeFile(configFile!, `${lines.join("\n")}\n`);
  const [executable, ...words] = program;
  const service = await startService({
    program: executable!,
    args: [...words, role, "--config", configFile!],
    logFile: at("log"),
    ready: socket!,
  });
  return {
    socket: socket!,
    root: root!,
    metricsSocket: metricsSocket!,
    configFile: configFile!,
    service,
    run: async (own) => {
      const { stdout } = await command(executable!, [...words, ...own, "--config", configFile!], {
        signal,
        allow: [EXIT_NOT_FOUND],
      });
      return stdout;
    },
  };
}
