import type { Migration } from "./migration.js";
import { isTomlTable, type TomlTable, tableAt, takeAt } from "./toml-tables.js";

const images = "io.containerd.cri.v1.images";

/** Snapshotters that lazuli has only where a table names them. */
const named = ["btrfs", "native"];

/** What lazuli serves in place of a snapshotter that it has not. */
const LAZY_NAME = "overlayfs";

/** Which snapshotters pods are given: those of ours that need a table get one. */
export function migrateSnapshotters(migration: Migration, plugins: TomlTable): void {
  const from = ["plugins", images, "snapshotter"];
  const wanted = takeAt(plugins, [images, "snapshotter"]);
  if (typeof wanted === "string" && wanted !== "") {
    if (isServed(migration, wanted)) migration.take(from, ["cri", "images", "snapshotter"], wanted);
    else migration.drop(from, wanted, `lazuli has no such snapshotter: pods get its lazy one, ${LAZY_NAME}`);
  }
  const runtimes = tableAt(migration.document, ["cri", "runtime", "runtimes"]);
  for (const [name, table] of Object.entries(runtimes ?? {})) {
    if (!isTomlTable(table) || typeof table.snapshotter !== "string") continue;
    if (isServed(migration, table.snapshotter)) continue;
    const key = ["plugins", "io.containerd.cri.v1.runtime", "containerd", "runtimes", name, "snapshotter"];
    migration.drop(key, table.snapshotter, `lazuli has no such snapshotter: its pods get ${LAZY_NAME}`);
    delete table.snapshotter;
  }
  for (const name of named) {
    const root = takeAt(plugins, [`io.containerd.snapshotter.v1.${name}`, "root_path"]);
    if (typeof root !== "string" || root === "") continue;
    isServed(migration, name);
    migration.drop(
      ["plugins", `io.containerd.snapshotter.v1.${name}`, "root_path"],
      root,
      `containerd's own snapshots lie there: give [snapshotters.${name}] another root`,
    );
  }
}

/** Whether lazuli serves it, and a table for it where it needs one. */
function isServed(migration: Migration, name: string): boolean {
  if (name === LAZY_NAME) return true;
  const proxies = tableAt(migration.document, ["proxy_plugins"]) ?? {};
  if (Object.hasOwn(proxies, name)) return true;
  if (!named.includes(name)) return false;
  if (tableAt(migration.document, ["snapshotters", name]) === undefined) {
    migration.take(["plugins", `io.containerd.snapshotter.v1.${name}`], ["snapshotters", name, "type"], name);
  }
  return true;
}
