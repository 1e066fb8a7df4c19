import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { command, startService } from "../tools/index.js";

export interface ContainerdParts {
  readonly address: string;
  readonly pid: number;
  /** Runs one of its clients, e.g. `ctr`, against it. */
  run(program: string, words: readonly string[]): Promise<void>;
  stop(): Promise<void>;
}

export interface StartContainerdOptions {
  readonly folder: string;
  /** Undefined: what the PATH finds. */
  readonly binFolder: string | undefined;
  /** Name and socket of one that is plugged in. */
  readonly snapshotter: { readonly name: string; readonly socket: string; readonly root: string } | undefined;
  readonly authority: string;
  readonly signal: AbortSignal;
}

export async function startContainerd(options: StartContainerdOptions): Promise<ContainerdParts> {
  const { folder, binFolder, snapshotter, authority, signal } = options;
  await mkdir(folder, { recursive: true });
  const [address, config] = [join(folder, "containerd.sock"), join(folder, "config.toml")];
  const lines = [
    "version = 2",
    `root = "${join(folder, "root")}"`,
    `state = "${join(folder, "state")}"`,
    'disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt", "io.containerd.nri.v1.nri"]',
    `[grpc]\naddress = "${address}"`,
  ];
  if (snapshotter !== undefined) {
    lines.push(
      `[proxy_plugins."${snapshotter.name}"]\ntype = "snapshot"\naddress = "${snapshotter.socket}"`,
      `[proxy_plugins."${snapshotter.name}".exports]\nroot = "${snapshotter.root}"`,
    );
  }
  await writeFile(config, `${lines.join("\n")}\n`);
  const path = binFolder === undefined ? {} : { PATH: `${binFolder}:${process.env.PATH}` };
  const env = { ...path, SSL_CERT_FILE: authority };
  const service = await startService({
    program: binFolder === undefined ? "containerd" : join(binFolder, "containerd"),
    args: ["--config", config],
    env,
    logFile: join(folder, "log"),
    ready: address,
  });
  return {
    address,
    pid: service.pid,
    run: async (program, words) => {
      await command(program, ["--address", address, "--namespace", NAMESPACE, ...words], { env, signal });
    },
    stop: () => service.stop(),
  };
}

export const NAMESPACE = "bench";
