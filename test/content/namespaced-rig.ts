import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Test } from "tap";
import { type Digest, sha256 } from "../../src/bytes/index.js";
import {
  type ContentStore,
  type NamespacedContent,
  namespacedContent,
  openLocalStore,
  type SharingPolicy,
} from "../../src/content/index.js";
import { loadBinding } from "../../src/fuse/index.js";
import { type Metadata, openMetadata } from "../../src/metadata/index.js";

export const start = 1_700_000_000_000_000_000n;

/** A clock of the test: every look moves it on by a second, so that times tell the order. */
export function steppingClock(): () => bigint {
  let now = start;
  return () => {
    now += 1_000_000_000n;
    return now;
  };
}

export interface NamespacedRig {
  readonly metadata: Metadata;
  readonly store: ContentStore;
  readonly content: NamespacedContent;
}

/** A store with namespaces on a folder of its own, taken away with the test. */
export async function namespacedRig(
  t: Test,
  options: { policy?: SharingPolicy; wrap?: (store: ContentStore) => ContentStore } = {},
): Promise<NamespacedRig> {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-namespaced-"));
  t.teardown(async () => await rm(folder, { recursive: true, force: true }));
  const now = steppingClock();
  const metadata = await openMetadata({ directory: join(folder, "metadata") });
  t.teardown(async () => await metadata.close());
  const local = await openLocalStore({
    root: join(folder, "content"),
    now,
    fileSteps: loadBinding().fileSteps,
  });
  t.teardown(async () => await local.close());
  const store = options.wrap?.(local) ?? local;
  const content = namespacedContent({ metadata, store, now, policy: options.policy ?? "shared" });
  return { metadata, store, content };
}

export async function put(
  store: ContentStore,
  bytes: Buffer,
  labels: Record<string, string> = {},
): Promise<Digest> {
  const expected = sha256(bytes);
  const writer = await store.writer({ ref: `put-${expected}`, total: bytes.length, expected });
  if (writer.offset === 0 && bytes.length > 0) await writer.write(Buffer.from(bytes));
  return await writer.commit({ size: bytes.length, expected, labels });
}

export async function readAll(store: ContentStore, digest: Digest): Promise<Buffer> {
  await using reader = await store.open(digest);
  const pieces: Uint8Array[] = [];
  for (let offset = 0; offset < reader.size; ) {
    const piece = await reader.read(offset, 64 * 1024);
    pieces.push(piece);
    offset += piece.length;
  }
  return Buffer.concat(pieces);
}

export async function digestsOf(store: ContentStore, filters: string[] = []): Promise<string[]> {
  const digests: string[] = [];
  for await (const info of store.walk(filters)) digests.push(info.digest);
  return digests.sort();
}
