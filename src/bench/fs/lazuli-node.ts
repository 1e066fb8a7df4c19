import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createClient, type Client as RpcClient } from "@connectrpc/connect";
import { Node, type StatusResponse } from "../../../gen/lazuli/v1/node_pb.js";
import { type Client, connect } from "../../client/index.js";
import { loadBinding } from "../../fuse/index.js";
import { grpcOverSocket } from "../../grpc/index.js";
import { mountAll, readMountInfo, unmountAll } from "../../mounts/index.js";
import { type Cleanup, startService, unmountBelow } from "../tools/index.js";

const NAMESPACE = "bench";
/** Its name in lazuli's daemon, where it stands in containerd's place. */
export const LAZY_SNAPSHOTTER = "overlayfs";
export const LOCAL_SNAPSHOTTER = "local";

export interface LazuliNodeOptions {
  readonly rung: "erofs" | "fuse-tree";
  /** Of its own; all it has lies below. */
  readonly folder: string;
  /** The program, with the words before its command. */
  readonly program: readonly string[];
  readonly cleanup: Cleanup;
  readonly signal: AbortSignal;
}

/** A lazuli of its own on one rung of the ladder, with a snapshotter on local files beside it. */
export class LazuliNode {
  readonly #client: Client;
  readonly #node: RpcClient<typeof Node>;
  readonly #options: LazuliNodeOptions;
  #mounts = 0;

  private constructor(client: Client, node: RpcClient<typeof Node>, options: LazuliNodeOptions) {
    this.#client = client;
    this.#node = node;
    this.#options = options;
  }

  static async start(options: LazuliNodeOptions): Promise<LazuliNode> {
    const { folder, cleanup, program } = options;
    await mkdir(folder, { recursive: true });
    const at = (name: string): string => join(folder, name);
    const [config, socket] = [at("config.toml"), at("sock")];
    const lines = [
      `root = "${at("root")}"`,
      `state = "${at("state")}"`,
      `[layer]\nmount = "${options.rung}"\nbackground_fill = false\nkeeper = "off"`,
      `[daemon]\naddress = "${socket}"`,
      `[nri]\nsocket_path = "${at("nri.sock")}"`,
      `[snapshotters.${LOCAL_SNAPSHOTTER}]\ntype = "overlayfs"`,
    ];
    await writeFile(config, `${lines.join("\n")}\n`);
    const [executable, ...words] = program;
    const args = [...words, "daemon", "--config", config];
    const service = await startService({ program: executable!, args, logFile: at("log"), ready: socket });
    cleanup.add(async () => {
      await service.stop();
      await unmountBelow(folder);
    });
    const client = connect({ address: socket, namespace: NAMESPACE, fifoFolder: at("fifo") });
    cleanup.add(() => client[Symbol.dispose]());
    const connection = grpcOverSocket(socket);
    cleanup.add(() => connection[Symbol.dispose]());
    return new LazuliNode(client, createClient(Node, connection.transport), options);
  }

  async pull(reference: string, snapshotter: string): Promise<void> {
    const lazy = snapshotter === LAZY_SNAPSHOTTER ? "always" : "never";
    await this.#client.pull(reference, { snapshotter, lazy, by: "client", signal: this.#options.signal });
  }

  /** The tree of a pulled image as a container sees it: with a writable layer on top. */
  async mount(reference: string, snapshotter: string): Promise<string> {
    const { folder, cleanup, signal } = this.#options;
    this.#mounts += 1;
    const [key, target] = [`tree-${this.#mounts}`, join(folder, `tree-${this.#mounts}`)];
    const image = await this.#client.image(reference, { signal });
    const parent = (await image.read({ signal })).layers.at(-1)?.chainId ?? "";
    const labels = { "containerd.io/gc.root": "bench" };
    const { mounts } = await this.#client.call(
      { action: "prepare a snapshot", signal },
      async ({ snapshots }, options) =>
        await snapshots.prepare({ snapshotter, key, parent, labels }, options),
    );
    await mkdir(target);
    const binding = loadBinding();
    await mountAll({ binding, mounts, target, signal });
    cleanup.add(() => unmountAll({ binding, target }));
    return target;
  }

  async status(): Promise<StatusResponse> {
    return await this.#node.status({}, { signal: this.#options.signal });
  }

  /** Whether all lazy layers have their mount on local data, which new users of them get. */
  async isLocal(): Promise<boolean> {
    const layers = join(this.#options.folder, "state", "layers");
    const local = (await readMountInfo()).filter(
      ({ target }) => target.startsWith(`${layers}/`) && target.endsWith("c"),
    );
    return local.length >= (await this.status()).layers.length;
  }
}
