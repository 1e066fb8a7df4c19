import { createHash, randomBytes } from "node:crypto";
import { WriteAction } from "../../../gen/containerd/services/content/v1/content_pb.js";
import { NAMESPACE, type Peer } from "./peer.js";

const MESSAGE_BYTES = 1024 * 1024;
const headers = { "containerd-namespace": NAMESPACE };

/** Blobs that differ in their first bytes only, so that making them costs nothing beside sending them. */
export function* blobs(count: number, sizeBytes: number): Generator<Uint8Array> {
  const bytes = randomBytes(sizeBytes);
  const salt = randomBytes(8).toString("hex");
  for (let index = 0; index < count; index += 1) {
    bytes.write(`${salt}-${index}`.padEnd(32), 0, "latin1");
    yield Buffer.from(bytes);
  }
}

/** Sends blobs from `writers` writers at once, each blob in a stream of its own. Returns seconds. */
export async function ingest(
  peer: Peer,
  options: {
    readonly source: Iterable<Uint8Array>;
    readonly writers: number;
    readonly labels?: Record<string, string>;
    readonly lease?: string;
  },
): Promise<number> {
  const prepared = [...options.source].map((bytes) => ({
    bytes,
    digest: `sha256:${createHash("sha256").update(bytes).digest("hex")}`,
  }));
  const all = prepared[Symbol.iterator]();
  const callHeaders = {
    ...headers,
    ...(options.lease === undefined ? {} : { "containerd-lease": options.lease }),
  };
  const started = performance.now();
  await Promise.all(
    Array.from({ length: options.writers }, async () => {
      for (const blob of all) {
        const requests = writeRequests({ ...blob, labels: options.labels ?? {} });
        for await (const _reply of peer.content.write(requests, { headers: callHeaders })) {
          // Each message is answered; the last answer says that the blob is durable.
        }
      }
    }),
  );
  return (performance.now() - started) / 1000;
}

async function* writeRequests(blob: {
  readonly bytes: Uint8Array;
  readonly digest: string;
  readonly labels: Record<string, string>;
}) {
  const { bytes, digest, labels } = blob;
  const total = BigInt(bytes.length);
  const common = { ref: `bench-${digest}`, total, expected: digest, labels: {} };
  let offset = 0;
  yield { ...common, action: WriteAction.STAT, offset: 0n, data: new Uint8Array() };
  while (bytes.length - offset > MESSAGE_BYTES) {
    const data = bytes.subarray(offset, offset + MESSAGE_BYTES);
    yield { ...common, action: WriteAction.WRITE, offset: BigInt(offset), data };
    offset += data.length;
  }
  const data = bytes.subarray(offset);
  yield { ...common, action: WriteAction.COMMIT, offset: BigInt(offset), data, labels };
}

/** Seconds to list every blob of the namespace, and how many there were. */
export async function listContent(peer: Peer): Promise<{ seconds: number; count: number }> {
  const started = performance.now();
  let count = 0;
  for await (const { info } of peer.content.list({ filters: [] }, { headers })) count += info.length;
  return { seconds: (performance.now() - started) / 1000, count };
}

/** Makes images whose target is a digest of nothing. Returns seconds. */
export async function createImages(
  peer: Peer,
  options: { readonly prefix: string; readonly count: number; readonly clients: number },
): Promise<number> {
  let next = 0;
  const started = performance.now();
  await Promise.all(
    Array.from({ length: options.clients }, async () => {
      while (next < options.count) {
        const index = next++;
        const digest = `sha256:${createHash("sha256").update(`${options.prefix}${index}`).digest("hex")}`;
        const target = { mediaType: "application/vnd.oci.image.manifest.v1+json", digest, size: 2n };
        const name = `registry.example/${options.prefix}:${index}`;
        await peer.images.create({ image: { name, target, labels: {} } }, { headers });
      }
    }),
  );
  return (performance.now() - started) / 1000;
}

/** One collection, asked for as BuildKit asks: by taking a lease away and waiting. Returns seconds. */
export async function collect(peer: Peer): Promise<number> {
  const id = `bench-${randomBytes(4).toString("hex")}`;
  await takeLease(peer, id);
  return await dropLease(peer, id);
}

export async function takeLease(peer: Peer, id: string): Promise<void> {
  await peer.leases.create({ id, labels: {} }, { headers });
}

/** Takes a lease away and waits for the collection of what it held. Returns seconds. */
export async function dropLease(peer: Peer, id: string): Promise<number> {
  const started = performance.now();
  await peer.leases.delete({ id, sync: true }, { headers });
  return (performance.now() - started) / 1000;
}
