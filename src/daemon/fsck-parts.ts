import { access, mkdir, rename } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { CheckedStore } from "../content/index.js";
import { syncFolder } from "../files/index.js";
import type { Metadata } from "../metadata/index.js";

/** What the checks look at. */
export interface FsckParts {
  /** Folder of everything. */
  readonly root: string;
  readonly metadata: Metadata;
  /** Its blobs were all read. Repairs take away what they move. */
  readonly store: CheckedStore;
  readonly now: () => bigint;
  /** Takes a file or folder out of use and keeps it below `<root>/set-aside`; returns where. */
  readonly setAside: (path: string) => Promise<string>;
}

/** Where the content store, the snapshots and the layers of a root lie. */
export function rootPaths(root: string) {
  return {
    content: join(root, "content"),
    metadata: join(root, "metadata"),
    metadataFile: join(root, "metadata", "metadata.lmdb"),
    snapshots: join(root, "snapshots"),
    layers: join(root, "layers", "v1"),
    setAside: join(root, "set-aside"),
  };
}

/** A mover into `<root>/set-aside`, durable, one after the other, that never writes over what is there. */
export function setAsideIn(root: string): (path: string) => Promise<string> {
  const folder = rootPaths(root).setAside;
  let last: Promise<unknown> = Promise.resolve();
  const move = async (path: string): Promise<string> => {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const name = basename(path);
    let target = join(folder, name);
    for (let number = 1; await isThere(target); number += 1) target = join(folder, `${name}.${number}`);
    await rename(path, target);
    await syncFolder(folder);
    await syncFolder(dirname(path));
    return target;
  };
  return async (path) => {
    const next = last.then(async () => await move(path));
    // The next one only waits for the end of this one.
    last = next.catch(() => undefined);
    return await next;
  };
}

export async function isThere(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false, // What can't be looked at counts as missing.
  );
}
