import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { type ClientHttp2Session, connect as connectHttp2, constants } from "node:http2";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { Content, WriteAction } from "../../gen/containerd/services/content/v1/content_pb.js";
import { Snapshots } from "../../gen/containerd/services/snapshots/v1/snapshots_pb.js";
import type { Mount } from "../../src/snapshotters/index.js";
import { Cleanup } from "../rig/cleanup.js";
import { type Containerd, startContainerd } from "../rig/containerd.js";
import { socketTransport } from "../snapshotter-suite/socket-client.js";

const NAMESPACE = "tar";
const SNAPSHOTTER = "overlayfs";
const MEDIA_TYPE = "application/vnd.oci.image.layer.v1.tar";
const BASE = "base";
/** Keeps the collector away. */
const labels = { "containerd.io/gc.root": "kept" };

/** What containerd made of a layer: the folder with just its files, or the message with which it gave up. */
export type Unpacked = { readonly folder: string } | { readonly error: string };

/** A containerd that unpacks layers, each on an empty base of its own, as it does for all layers but the lowest. */
export interface Unpacker extends AsyncDisposable {
  unpack(tar: Buffer | TarFile): Promise<Unpacked>;
}

/** An archive that is too large to be in memory. */
export interface TarFile {
  readonly path: string;
  readonly digest: string;
  readonly size: number;
}

export async function startUnpacker(): Promise<Unpacker> {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-unpack-"));
  const cleanup = new Cleanup();
  cleanup.add(() => rm(folder, { recursive: true, force: true }));
  try {
    const containerd = await startContainerd({ folder, collectsOnRequest: true });
    cleanup.add(() => containerd.stop());
    const unpacker = new DiffClient(containerd);
    cleanup.add(() => unpacker.close());
    await unpacker.prepareBase();
    return {
      unpack: (tar) => unpacker.unpack(tar),
      [Symbol.asyncDispose]: () => cleanup[Symbol.asyncDispose](),
    };
  } catch (error) {
    await cleanup[Symbol.asyncDispose]();
    throw error;
  }
}

class DiffClient {
  readonly #content;
  readonly #snapshots;
  readonly #session: ClientHttp2Session;
  readonly #headers = { headers: { "containerd-namespace": NAMESPACE } };
  #count = 0;

  constructor(containerd: Containerd) {
    const transport = socketTransport(containerd.address);
    this.#content = createClient(Content, transport);
    this.#snapshots = createClient(Snapshots, transport);
    this.#session = connectHttp2("http://localhost", { createConnection: () => connect(containerd.address) });
    this.#session.on("error", () => undefined);
  }

  async prepareBase(): Promise<void> {
    const key = "base-active";
    await this.#snapshots.prepare({ snapshotter: SNAPSHOTTER, key, labels }, this.#headers);
    await this.#snapshots.commit({ snapshotter: SNAPSHOTTER, key, name: BASE, labels }, this.#headers);
  }

  async unpack(tar: Buffer | TarFile): Promise<Unpacked> {
    this.#count += 1;
    const key = `layer-${this.#count}`;
    const layer = Buffer.isBuffer(tar) ? inMemory(tar) : inFile(tar);
    await this.#write(layer);
    const { digest, size } = layer;
    const { mounts } = await this.#snapshots.prepare(
      { snapshotter: SNAPSHOTTER, key, parent: BASE, labels },
      this.#headers,
    );
    const failure = await this.#apply({ digest, size, mounts });
    if (failure !== undefined) return { error: failure };
    const upper = mounts[0]!.options.find((option) => option.startsWith("upperdir="))!;
    return { folder: upper.slice("upperdir=".length) };
  }

  async close(): Promise<void> {
    this.#session.close();
  }

  async #write({ digest, size, pieces }: LayerBytes): Promise<void> {
    const ref = `${digest}-${this.#count}`;
    const stream = (async function* () {
      let offset = 0n;
      for await (const data of pieces()) {
        yield { action: WriteAction.WRITE, data, ref, offset };
        offset += BigInt(data.length);
      }
      yield { action: WriteAction.COMMIT, ref, offset, total: BigInt(size), expected: digest, labels };
    })();
    try {
      for await (const answer of this.#content.write(stream, this.#headers)) void answer;
    } catch (error) {
      // The same layer was there already.
      if (ConnectError.from(error).code !== Code.AlreadyExists) throw error;
    }
  }

  /** containerd.services.diff.v1.Diff/Apply, whose few fields are written by hand. @returns why it failed */
  #apply(layer: { digest: string; size: number; mounts: readonly Mount[] }): Promise<string | undefined> {
    const message = Buffer.concat([
      field(1, [text(1, MEDIA_TYPE), text(2, layer.digest), varintField(3, layer.size)]),
      ...layer.mounts.map((mount) =>
        field(2, [
          text(1, mount.type),
          text(2, mount.source),
          text(3, mount.target),
          ...mount.options.map((option) => text(4, option)),
        ]),
      ),
    ]);
    const frame = Buffer.alloc(5);
    frame.writeUInt32BE(message.length, 1);
    return new Promise((resolve, reject) => {
      const stream = this.#session.request({
        [constants.HTTP2_HEADER_METHOD]: "POST",
        [constants.HTTP2_HEADER_PATH]: "/containerd.services.diff.v1.Diff/Apply",
        "content-type": "application/grpc",
        te: "trailers",
        "containerd-namespace": NAMESPACE,
      });
      const settle = (headers: Record<string, unknown>): void => {
        const status = headers["grpc-status"];
        if (status !== undefined)
          resolve(status === "0" ? undefined : decodeURIComponent(String(headers["grpc-message"])));
      };
      stream.on("response", settle);
      stream.on("trailers", settle);
      stream.on("error", reject);
      stream.resume();
      stream.end(Buffer.concat([frame, message]));
    });
  }
}

interface LayerBytes {
  readonly digest: string;
  readonly size: number;
  readonly pieces: () => AsyncIterable<Buffer> | Iterable<Buffer>;
}

const PIECE_BYTES = 1 << 20;

function inMemory(tar: Buffer): LayerBytes {
  return {
    digest: `sha256:${createHash("sha256").update(tar).digest("hex")}`,
    size: tar.length,
    pieces: function* () {
      for (let at = 0; at < tar.length; at += PIECE_BYTES) yield tar.subarray(at, at + PIECE_BYTES);
    },
  };
}

function inFile({ path, digest, size }: TarFile): LayerBytes {
  return { digest, size, pieces: () => createReadStream(path, { highWaterMark: PIECE_BYTES }) };
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  while (rest > 0x7f) {
    bytes.push((rest % 0x80) | 0x80);
    rest = Math.floor(rest / 0x80);
  }
  return Buffer.from([...bytes, rest]);
}

function field(number: number, parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  return Buffer.concat([varint(number * 8 + 2), varint(body.length), body]);
}

function text(number: number, value: string): Buffer {
  return field(number, [Buffer.from(value)]);
}

function varintField(number: number, value: number): Buffer {
  return Buffer.concat([varint(number * 8), varint(value)]);
}
