import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { unmountBelow } from "../../src/bench/tools/index.js";
import { type CommandOptions, type CommandResult, command } from "./command.js";
import { startService } from "./service.js";

export { unmountBelow };

export interface ContainerdOptions {
  /** Everything it has lies below: config, root, state, log. */
  readonly folder: string;
  /** Name and socket of a proxy snapshotter. */
  readonly snapshotter?: { readonly name: string; readonly socket: string; readonly root: string };
  /** Folder with `containerd`, `ctr` and the shim of another release than the installed one. */
  readonly binFolder?: string;
  /** Collects garbage on request only, not as changes make it due. */
  readonly collectsOnRequest?: boolean;
  /** Further tables of the config file. */
  readonly config?: string;
}

export interface Containerd {
  readonly address: string;
  readonly logFile: string;
  ctr(args: readonly string[], options?: CommandOptions): Promise<CommandResult>;
  ctrRemote(args: readonly string[], options?: CommandOptions): Promise<CommandResult>;
  stop(): Promise<void>;
}

/** A containerd of its own, apart from one that the machine may run. */
export async function startContainerd(options: ContainerdOptions): Promise<Containerd> {
  const { folder, binFolder } = options;
  const address = join(folder, "containerd.sock");
  const logFile = join(folder, "containerd.log");
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "config.toml"), config(options, address));
  const program = (name: string): string => (binFolder === undefined ? name : join(binFolder, name));
  const env = binFolder === undefined ? {} : { PATH: `${binFolder}:${process.env.PATH}` };
  const service = await startService({
    program: program("containerd"),
    args: ["--config", join(folder, "config.toml")],
    env,
    logFile,
    ready: address,
  });
  const client =
    (name: string) =>
    async (args: readonly string[], commandOptions: CommandOptions = {}): Promise<CommandResult> =>
      await command(name, ["--address", address, ...args], {
        ...commandOptions,
        env: { ...env, ...commandOptions.env },
      });
  return {
    address,
    logFile,
    ctr: client(program("ctr")),
    ctrRemote: client("ctr-remote"),
    stop: async () => {
      await service.stop();
      await unmountBelow(folder);
    },
  };
}

function config(options: ContainerdOptions, address: string): string {
  const { folder, snapshotter } = options;
  const lines = [
    "version = 2",
    `root = "${join(folder, "root")}"`,
    `state = "${join(folder, "state")}"`,
    'disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt", "io.containerd.nri.v1.nri"]',
    "[grpc]",
    `address = "${address}"`,
  ];
  if (options.collectsOnRequest === true) {
    lines.push(
      '[plugins."io.containerd.gc.v1.scheduler"]',
      "deletion_threshold = 1000000",
      "mutation_threshold = 1000000",
      // What was deleted is due again after the pause: a collection takes tenths of a millisecond, the pause an hour.
      "pause_threshold = 0.0000001",
    );
  }
  if (snapshotter !== undefined) {
    lines.push(
      `[proxy_plugins.${snapshotter.name}]`,
      'type = "snapshot"',
      `address = "${snapshotter.socket}"`,
      `[proxy_plugins.${snapshotter.name}.exports]`,
      `root = "${snapshotter.root}"`,
      'enable_remote_snapshot_annotations = "true"',
      '[[plugins."io.containerd.transfer.v1.local".unpack_config]]',
      'platform = "linux/amd64"',
      `snapshotter = "${snapshotter.name}"`,
      '[[plugins."io.containerd.transfer.v1.local".unpack_config]]',
      'platform = "linux/amd64"',
      'snapshotter = "overlayfs"',
    );
  }
  return `${lines.join("\n")}\n${options.config ?? ""}`;
}
