/** A process that kills itself at a failure point: btrfs|native FOLDER POINT PASS. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { loadBinding } from "../../src/fuse/index.js";
import { openMetadata } from "../../src/metadata/index.js";
import { armFailurePoint } from "../../src/observe/index.js";
import {
  createBtrfsSnapshotter,
  createNativeSnapshotter,
  type StoredSnapshotter,
} from "../../src/snapshotters/index.js";

export type Kind = "btrfs" | "native";

export interface Opened extends AsyncDisposable {
  readonly snapshotter: StoredSnapshotter;
}

/** A snapshotter on a folder that may have had one. */
export async function openSnapshotter(kind: Kind, folder: string): Promise<Opened> {
  const binding = loadBinding();
  const metadata = await openMetadata({ directory: join(folder, "metadata") });
  const now = (): bigint => BigInt(Date.now()) * 1_000_000n;
  const options = { name: kind, root: join(folder, "root"), binding, metadata, now };
  const snapshotter =
    kind === "btrfs"
      ? await createBtrfsSnapshotter(options)
      : // A killed process loses nothing that the kernel has.
        await createNativeSnapshotter({ ...options, syncFileSystem: async () => undefined });
  return {
    snapshotter,
    [Symbol.asyncDispose]: async () => {
      await snapshotter.close();
      await metadata.close();
    },
  };
}

/** Where the tree of a row is, from the root; undefined for none. */
export function treeOf(kind: Kind, row: { id: number; kind: string; parent: string }): string | undefined {
  if (kind === "native") {
    return row.kind === "view" && row.parent !== "" ? undefined : `snapshots/${row.id}`;
  }
  return `${row.kind === "committed" ? "snapshots" : row.kind}/${row.id}`;
}

async function work(kind: Kind, folder: string): Promise<void> {
  await using opened = await openSnapshotter(kind, folder);
  const { snapshotter } = opened;
  let parent = "";
  for (const layer of ["first", "second"]) {
    const key = `active-${layer}`;
    await snapshotter.prepare({ key, parent, labels: {} });
    const row = snapshotter.table.get(key);
    await writeFile(join(folder, "root", treeOf(kind, row)!, layer), layer);
    await snapshotter.commit({ key, name: layer, parent: "", labels: {} });
    parent = layer;
  }
  await snapshotter.view({ key: "view", parent, labels: {} });
  await snapshotter.remove("view");
  await snapshotter.remove("second");
  await snapshotter.prepare({ key: "last", parent: "first", labels: {} });
}

const [kind, folder, point, pass] = process.argv.slice(2);
if (point !== undefined) {
  armFailurePoint({ name: point, pass: Number(pass), fire: () => process.kill(process.pid, "SIGKILL") });
  await work(kind as Kind, folder!);
}
