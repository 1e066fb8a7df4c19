import { type Digest, sha256 } from "../../src/bytes/index.js";
import type { BlobReader, ContentStore, IngestWriter, OpenIngest } from "../../src/content/index.js";
import { alreadyExists, failedPrecondition, notFound, unavailable } from "../../src/errors/index.js";

interface Ingest {
  bytes: Buffer;
  total: number;
  isLocked: boolean;
}

/** A content store in memory, whose every answer comes in a later turn. */
export function memoryStore(now: () => bigint): ContentStore {
  const blobs = new Map<Digest, Buffer>();
  const open = new Map<string, Ingest>();
  const turn = async (): Promise<void> => await new Promise((resolve) => setImmediate(resolve));
  const blob = (digest: Digest): Buffer => {
    const bytes = blobs.get(digest);
    if (bytes === undefined) throw notFound(`content ${digest}`);
    return bytes;
  };
  const ingest = (ref: string): Ingest => {
    const found = open.get(ref);
    if (found === undefined) throw notFound(`ingest ref ${ref}`);
    return found;
  };
  const info = (digest: Digest) => ({
    digest,
    size: blob(digest).length,
    createdAt: 1n,
    updatedAt: 1n,
    labels: {},
  });
  const status = (ref: string) => ({
    ref,
    offset: ingest(ref).bytes.length,
    total: ingest(ref).total,
    expected: undefined,
    startedAt: now(),
    updatedAt: now(),
  });
  const writer = (ref: string, own: Ingest): IngestWriter => {
    let isOpen = true;
    return {
      ref,
      get offset() {
        return own.bytes.length;
      },
      write: async (bytes) => {
        await turn();
        own.bytes = Buffer.concat([own.bytes, bytes]);
      },
      status: () => ({ ...status(ref) }),
      digest: () => sha256(own.bytes),
      truncate: async () => {
        own.bytes = Buffer.alloc(0);
      },
      commit: async ({ size, expected }) => {
        await turn();
        if (!isOpen) throw failedPrecondition("closed");
        isOpen = false;
        own.isLocked = false;
        const digest = sha256(own.bytes);
        if (size !== 0 && size !== own.bytes.length) throw failedPrecondition("size");
        if (expected !== undefined && expected !== digest) throw failedPrecondition("digest");
        open.delete(ref);
        if (blobs.has(digest)) throw alreadyExists(`content ${digest}`);
        blobs.set(digest, own.bytes);
        return digest;
      },
      close: async () => {
        if (isOpen) own.isLocked = false;
        isOpen = false;
      },
    };
  };
  return {
    info: async (digest) => {
      await turn();
      return info(digest);
    },
    update: async ({ digest }) => info(digest),
    async *walk() {
      for (const digest of [...blobs.keys()]) {
        await turn();
        if (blobs.has(digest)) yield info(digest);
      }
    },
    delete: async (digest) => {
      await turn();
      blob(digest);
      blobs.delete(digest);
      await turn();
    },
    open: async (digest): Promise<BlobReader> => {
      await turn();
      const bytes = blob(digest);
      return {
        size: bytes.length,
        read: async (offset, length) => Buffer.from(bytes.subarray(offset, offset + length)),
        close: async () => undefined,
        [Symbol.asyncDispose]: async () => undefined,
      };
    },
    status: async (ref) => status(ref),
    statuses: async () => [...open.keys()].map(status),
    abort: async (ref) => {
      ingest(ref);
      await turn();
      open.delete(ref);
    },
    writer: async ({ ref, total }: OpenIngest) => {
      await turn();
      const own = open.get(ref) ?? { bytes: Buffer.alloc(0), total, isLocked: false };
      if (own.isLocked) throw unavailable(`ref ${ref} locked`);
      own.isLocked = true;
      open.set(ref, own);
      return writer(ref, own);
    },
  };
}
