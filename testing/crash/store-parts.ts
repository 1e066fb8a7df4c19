import { open } from "node:fs/promises";
import { join } from "node:path";
import { type NamespacedContent, namespacedContent, openLocalStore } from "../../src/content/index.js";
import { loadBinding } from "../../src/fuse/index.js";
import { createCollector } from "../../src/gc/index.js";
import { ImageTable, LeaseTable, type Metadata, openMetadata } from "../../src/metadata/index.js";
import {
  createLazySnapshotter,
  type LazySnapshotter,
  type NamespacedSnapshotter,
  namespacedSnapshotter,
} from "../../src/snapshotters/index.js";
import { nowNanoseconds } from "../snapshotter-suite/lazy-rig.js";
import { SNAPSHOTTER } from "./facts.js";
import { everyLayer, StandingEngine } from "./standing-engine.js";

export type SyncFileSystem = (folder: string) => Promise<void>;

/** The real modules on one folder, as the daemon puts them together. */
export interface StoreParts {
  readonly folder: string;
  readonly metadata: Metadata;
  readonly images: ImageTable;
  readonly leases: LeaseTable;
  readonly content: NamespacedContent;
  readonly snapshots: NamespacedSnapshotter;
  /** The snapshotter below the namespaces. */
  readonly below: LazySnapshotter;
  /** Digests of the blobs below the namespaces. */
  storedDigests(): Promise<string[]>;
  collect(): Promise<void>;
  close(): Promise<void>;
}

/** The disk of the rig is small: the store may use nearly all of it. */
const RESERVE_BYTES = 64 * 1024;

const binding = loadBinding();

export const syncFileSystem: SyncFileSystem = async (folder) => {
  await using handle = await open(folder, "r");
  await binding.syncfs(handle.fd);
};

export async function openStoreParts(options: {
  readonly folder: string;
  /** What a snapshot's commit does to have its files on disk; a test may pass one that does nothing. */
  readonly syncFileSystem?: SyncFileSystem;
}): Promise<StoreParts> {
  const { folder } = options;
  const now = nowNanoseconds;
  const metadata = await openMetadata({
    directory: join(folder, "metadata"),
    reserveBytes: RESERVE_BYTES,
  });
  const store = await openLocalStore({ root: join(folder, "content"), now, fileSteps: binding.fileSteps });
  const content = namespacedContent({ metadata, store, now });
  const below = await createLazySnapshotter({
    root: folder,
    binding,
    metadata,
    engine: new StandingEngine(join(folder, "layers")),
    resolver: everyLayer,
    now,
    syncFileSystem: options.syncFileSystem ?? syncFileSystem,
    overlay: { mountOptions: [], hasIndex: true, isUserxattr: false },
  });
  const snapshots = namespacedSnapshotter({ metadata, snapshotter: below, name: SNAPSHOTTER, now });
  const snapshotters = new Map([[SNAPSHOTTER, snapshots]]);
  const collector = createCollector({ metadata, content, snapshotters, collectibles: [], now });
  return {
    folder,
    metadata,
    images: new ImageTable({ metadata, now }),
    leases: new LeaseTable({ metadata, now }),
    content,
    snapshots,
    below,
    storedDigests: async () => {
      const digests: string[] = [];
      for await (const { digest } of store.walk([])) digests.push(digest);
      return digests;
    },
    collect: async () => void (await collector.collect()),
    close: async () => {
      await below.close();
      await store.close();
      await metadata.close();
    },
  };
}
