import type { Config } from "./config-keys.js";
import type { OwnType } from "./config-named-tables.js";
import { proxied } from "./proxied-parts.js";

/** What clients ask for when they are told nothing else: the lazy snapshotter stands in containerd's place. */
export const DAEMON_LAZY_NAME = "overlayfs";
/** As our files for containerd call it (deploy/). */
export const SNAPSHOTTER_LAZY_NAME = "lazuli";

type Table = Config["snapshotters"][string];

/** A snapshotter of ours as the config wants it. */
export type OwnSnapshotter = { readonly name: string } & Omit<Table, "type"> & { readonly type: OwnType };

/** Our snapshotters; the lazy one is among them unless the config gives its name to another. */
export function ownSnapshotters(config: Config, lazyName: string): readonly OwnSnapshotter[] {
  const named = Object.entries(config.snapshotters).map(([name, table]) => ({ name, ...table }));
  const isReplaced =
    Object.hasOwn(config.snapshotters, lazyName) || named.some(({ type }) => type === "lazy");
  // Clients of containerd count on its `native` one; a plugin of another's has what its config says and no more.
  const isNativeGiven = lazyName !== DAEMON_LAZY_NAME || isNamed(config, "native");
  return [
    ...(isReplaced ? [] : [plainSnapshotter(lazyName, "lazy")]),
    ...(isNativeGiven ? [] : [plainSnapshotter("native", "native")]),
    ...named,
  ];
}

function isNamed(config: Config, name: string): boolean {
  return (
    Object.hasOwn(config.snapshotters, name) || proxied(config, "snapshot").some(([other]) => other === name)
  );
}

function plainSnapshotter(name: string, type: OwnType): OwnSnapshotter {
  return {
    name,
    type,
    root: undefined,
    address: undefined,
    syncRemove: undefined,
    upperdirLabel: undefined,
    mountOptions: [],
    idMapping: undefined,
    defaultQuotaBytes: undefined,
  };
}

/** What the config says of the lazy snapshotter. */
export function lazyTable(config: Config): Table | undefined {
  return Object.values(config.snapshotters).find(({ type }) => type === "lazy");
}

/** What single keys can't say: which tables don't fit together. */
export function checkSnapshotters(config: Config): readonly string[] {
  const tables = Object.entries(config.snapshotters);
  const problems = tables.flatMap(([name, table]) => unfitKeys(`snapshotters.${name}`, table));
  const lazy = tables.filter(([, { type }]) => type === "lazy").map(([name]) => name);
  if (lazy.length > 1) problems.push(`only one snapshotter can be of type "lazy", got ${lazy.join(" and ")}`);
  for (const [name] of proxied(config, "snapshot")) {
    if (Object.hasOwn(config.snapshotters, name))
      problems.push(`[proxy_plugins.${name}] and [snapshotters.${name}] have the same name`);
  }
  const places = new Map<string, string>([
    [config.snapshotter.address, "snapshotter.address"],
    [config.root, "root"],
  ]);
  for (const [name, { address, root }] of tables) {
    for (const [key, place] of Object.entries({ address, root })) {
      if (place === undefined) continue;
      const path = `snapshotters.${name}.${key}`;
      const other = places.get(place);
      if (other !== undefined)
        problems.push(`${path} is that of ${other}: want a path of its own, got "${place}"`);
      places.set(place, path);
    }
  }
  return problems;
}

function unfitKeys(path: string, table: Table): string[] {
  const { type, root, syncRemove, upperdirLabel, mountOptions, idMapping, defaultQuotaBytes } = table;
  const isOverlay = type === "lazy" || type === "overlayfs";
  const wrong = (key: string, only: string): string =>
    `${path}.${key} is for ${only} only, got type "${type}"`;
  return [
    ...(type === "lazy" && root !== undefined ? [wrong("root", "overlayfs, btrfs and native")] : []),
    ...(type === "lazy" && syncRemove !== undefined
      ? [wrong("sync_remove", "overlayfs, btrfs and native")]
      : []),
    ...(type !== "overlayfs" && upperdirLabel !== undefined ? [wrong("upperdir_label", "overlayfs")] : []),
    ...(type !== "overlayfs" && mountOptions.length > 0 ? [wrong("mount_options", "overlayfs")] : []),
    ...(!isOverlay && idMapping !== undefined ? [wrong("id_mapping", "overlayfs and lazy")] : []),
    ...(!isOverlay && defaultQuotaBytes !== undefined ? [wrong("default_quota", "overlayfs and lazy")] : []),
  ];
}
