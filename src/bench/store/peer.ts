import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Client, createClient } from "@connectrpc/connect";
import { Content } from "../../../gen/containerd/services/content/v1/content_pb.js";
import { Images } from "../../../gen/containerd/services/images/v1/images_pb.js";
import { Leases } from "../../../gen/containerd/services/leases/v1/leases_pb.js";
import { Snapshots } from "../../../gen/containerd/services/snapshots/v1/snapshots_pb.js";
import { grpcOverSocket } from "../../grpc/index.js";
import { type Service, startService } from "../tools/index.js";

export const NAMESPACE = "bench";

/** One of the two daemons, with a client of the same make for both. */
export interface Peer extends AsyncDisposable {
  readonly name: PeerName;
  readonly service: Service;
  readonly content: Client<typeof Content>;
  readonly images: Client<typeof Images>;
  readonly leases: Client<typeof Leases>;
  readonly snapshots: Client<typeof Snapshots>;
}

export interface PeerOptions {
  /** Existing or not; keeps the daemon's state. */
  readonly folder: string;
  /** lazuli's own program, with the words before its command. */
  readonly program: readonly string[];
  /** Further tables of the daemon's config. */
  readonly tables?: readonly string[];
}

export const peerNames = ["containerd", "lazuli"] as const;
export type PeerName = (typeof peerNames)[number];

export const peers: Readonly<Record<PeerName, (options: PeerOptions) => Promise<Peer>>> = {
  containerd: async ({ folder, tables = [] }) =>
    await startPeer({
      name: "containerd",
      folder,
      command: ["containerd"],
      args: (configFile) => ["--config", configFile],
      config: (socket) => [
        "version = 2",
        `root = "${join(folder, "root")}"`,
        `state = "${join(folder, "state")}"`,
        'disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt", "io.containerd.nri.v1.nri"]',
        `[grpc]\naddress = "${socket}"`,
        ...tables,
      ],
    }),
  lazuli: async ({ folder, program, tables = [] }) =>
    await startPeer({
      name: "lazuli",
      folder,
      command: program,
      args: (configFile) => ["daemon", "--config", configFile],
      config: (socket) => [
        `root = "${join(folder, "root")}"`,
        `state = "${join(folder, "state")}"`,
        `[daemon]\naddress = "${socket}"`,
        `[nri]\nsocket_path = "${join(folder, "nri.sock")}"`,
        ...tables,
      ],
    }),
};

interface StartOptions {
  readonly name: PeerName;
  readonly folder: string;
  readonly command: readonly string[];
  readonly args: (configFile: string) => readonly string[];
  /** Lines of the config file. */
  readonly config: (socket: string) => readonly string[];
}

async function startPeer(options: StartOptions): Promise<Peer> {
  const { name, folder } = options;
  await mkdir(folder, { recursive: true });
  const socket = join(folder, "peer.sock");
  const configFile = join(folder, "config.toml");
  await writeFile(configFile, `${options.config(socket).join("\n")}\n`);
  const [executable, ...words] = options.command;
  const service = await startService({
    program: executable!,
    args: [...words, ...options.args(configFile)],
    logFile: join(folder, "log"),
    ready: socket,
  });
  const connection = grpcOverSocket(socket);
  const { transport } = connection;
  return {
    name,
    service,
    content: createClient(Content, transport),
    images: createClient(Images, transport),
    leases: createClient(Leases, transport),
    snapshots: createClient(Snapshots, transport),
    [Symbol.asyncDispose]: async () => {
      connection[Symbol.dispose]();
      await service.stop();
    },
  };
}

/** Forgets the greatest memory that a process had, so that the next `peakMiB` is of what comes now. */
export async function resetPeak(pid: number): Promise<void> {
  await writeFile(`/proc/${pid}/clear_refs`, "5");
}

export async function peakMiB(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)![1]) / 1024;
}
