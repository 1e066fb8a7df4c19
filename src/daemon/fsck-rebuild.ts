import type { Digest } from "../bytes/index.js";
import { dataLoss, LazuliError } from "../errors/index.js";
import {
  type ContentRow,
  contents,
  leaseResources,
  leases,
  lockFolder,
  type Metadata,
  namespaces,
  openMetadata,
} from "../metadata/index.js";
import { rowOf } from "./fsck-content.js";
import { type FsckParts, isThere, rootPaths, setAsideIn } from "./fsck-parts.js";
import { checkedTables, rawRows } from "./fsck-rows.js";

export interface RebuiltContent {
  readonly namespace: string;
  readonly rows: number;
  /** Holds what no other blob names, for a week; "" when there was nothing to rebuild. */
  readonly lease: string;
}

const LEASE = "lazuli-fsck-rebuilt";
const LEASE_LIFE_MS = 7 * 24 * 3600 * 1000;
/** Rows of one durable step. */
const BATCH_ROWS = 1000;

/** Opens the metadata of a root as it is. @throws DATA_LOSS with the way out; FAILED_PRECONDITION when it is in use */
export async function openForCheck(root: string): Promise<Metadata> {
  const directory = rootPaths(root).metadata;
  const metadata = await openMetadata({ directory });
  try {
    for (const table of checkedTables) await rawRows(metadata, table.name);
    return metadata;
  } catch (cause) {
    await metadata.close();
    const { code, message } = LazuliError.from(cause);
    if (code !== "UNKNOWN") throw cause;
    throw dataLoss(`Cannot read the metadata in ${directory}: ${message}`, {
      subject: directory,
      reason: "metadata-damaged",
      cause,
    });
  }
}

/** As openForCheck(); a database that can't be opened is set aside and a new one begun. */
export async function openForRebuild(root: string): Promise<{ metadata: Metadata; setAside: string[] }> {
  try {
    return { metadata: await openForCheck(root), setAside: [] };
  } catch (thrown) {
    if (LazuliError.from(thrown).code !== "DATA_LOSS") throw thrown;
  }
  const paths = rootPaths(root);
  const move = setAsideIn(root);
  const moved: string[] = [];
  {
    await using _lock = await lockFolder(paths.metadata);
    // Without rows the next clean-up would delete every snapshot's files.
    for (const path of [paths.metadataFile, `${paths.metadataFile}-lock`, paths.snapshots]) {
      if (await isThere(path)) moved.push(await move(path));
    }
  }
  return { metadata: await openMetadata({ directory: paths.metadata }), setAside: moved };
}

/** Gives a namespace every sound blob that it does not have, with the labels that lead from blob to blob. */
export async function rebuildContent(
  parts: FsckParts,
  options: { readonly namespace: string; readonly onRow: (rows: number) => void },
): Promise<RebuiltContent> {
  const { metadata, store, now } = parts;
  const { namespace, onRow } = options;
  const named = new Set<string>();
  const rebuilt: Digest[] = [];
  let batch: ContentRow[] = [];
  const flush = async (): Promise<void> => {
    const rows = batch;
    batch = [];
    await metadata.write((transaction) => {
      for (const row of rows) transaction.put(contents, [namespace, row.digest], row);
    });
  };
  await ensureNamespace(parts, namespace);
  for (const blob of store.blobs.values()) {
    if (blob.damage !== undefined || metadata.get(contents, [namespace, blob.digest]) !== undefined) continue;
    const row = await rowOf(namespace, blob);
    for (const digest of Object.values(row.labels)) named.add(digest);
    rebuilt.push(blob.digest);
    batch.push(row);
    onRow(rebuilt.length);
    if (batch.length === BATCH_ROWS) await flush();
  }
  await flush();
  const tops = rebuilt.filter((digest) => !named.has(digest));
  await metadata.write((transaction) => {
    const at = now();
    if (rebuilt.length === 0) return;
    const expire = new Date(Number(at / 1_000_000n) + LEASE_LIFE_MS).toISOString();
    transaction.put(leases, [namespace, LEASE], {
      namespace,
      id: LEASE,
      labels: { "containerd.io/gc.expire": expire },
      createdAt: at,
    });
    for (const id of tops) {
      transaction.put(leaseResources, [namespace, LEASE, "content", id], { type: "content", id });
    }
  });
  return { namespace, rows: rebuilt.length, lease: rebuilt.length === 0 ? "" : LEASE };
}

async function ensureNamespace({ metadata }: FsckParts, namespace: string): Promise<void> {
  await metadata.write((transaction) => {
    if (transaction.get(namespaces, [namespace]) !== undefined) return;
    transaction.put(namespaces, [namespace], { name: namespace, labels: {} });
  });
}
