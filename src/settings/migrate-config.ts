import { isDeepStrictEqual } from "node:util";
import { nearestWord } from "../errors/index.js";
import type { ContainerdConfig } from "./containerd-files.js";
import { migrateProxyPlugins, migrateStreamProcessors } from "./migrate-programs.js";
import { migrateRegistry } from "./migrate-registry.js";
import { knownKeys, ruleFor } from "./migrate-rules.js";
import { migrateRuntimes } from "./migrate-runtimes.js";
import { migrateSnapshotters } from "./migrate-snapshotters.js";
import { limitText, NOTHING } from "./migrate-values.js";
import { Migration } from "./migration.js";
import { isTomlTable, takeAt } from "./toml-tables.js";

/** Our config from one of containerd: what has a meaning here is taken, the rest is listed with why it is not. */
export function migrateConfig({ document }: Pick<ContainerdConfig, "document">): Migration {
  const migration = new Migration();
  const rest = structuredClone(document);
  const plugins = rest.plugins;
  for (const name of ["disabled_plugins", "required_plugins"]) {
    migratePluginList(migration, name, takeAt(rest, [name]));
  }
  migrateProxyPlugins(migration, takeAt(rest, ["proxy_plugins"]));
  migrateStreamProcessors(migration, takeAt(rest, ["stream_processors"]));
  migrateTimeouts(migration, takeAt(rest, ["timeouts"]));
  if (isTomlTable(plugins)) {
    migrateRegistry(migration, plugins);
    migrateRuntimes(migration, plugins);
    migrateSnapshotters(migration, plugins);
  }
  walk(migration, [], rest);
  return migration;
}

/** Kinds of plugins of which lazuli has none, whatever their keys. */
const absent: readonly (readonly [prefix: string, reason: string])[] = [
  ["io.containerd.snapshotter.v1.", "lazuli has no such snapshotter"],
  ["io.containerd.runtime.v1.", "containerd's first runtime is not served"],
  ["io.containerd.differ.v1.", "lazuli has no such differ"],
  ["io.containerd.mount-handler.v1.", "lazuli has no such mount handler"],
];

function walk(migration: Migration, path: readonly string[], value: unknown): void {
  const rule = ruleFor(path);
  if (rule !== undefined && "to" in rule) {
    const converted = rule.convert(value);
    if (converted === NOTHING) return;
    if (converted !== undefined) migration.take(path, rule.to, converted);
    else migration.drop(path, value, rule.unfit);
    return;
  }
  if (rule !== undefined) {
    if (!saysNothing(value, rule.initial)) migration.drop(path, value, rule.reason);
    return;
  }
  if (isTomlTable(value)) {
    for (const [key, inner] of Object.entries(value)) walk(migration, [...path, key], inner);
    return;
  }
  const [, plugin = ""] = path;
  const reason = absent.find(([prefix]) => plugin.startsWith(prefix))?.[1];
  if (reason === undefined || !saysNothing(value, undefined)) {
    migration.drop(path, value, reason ?? unknownKey(path));
  }
}

/** Empty, or the default: nobody meant anything by it. */
function saysNothing(value: unknown, initial: unknown): boolean {
  if (value === "" || (Array.isArray(value) && value.length === 0)) return true;
  return initial === undefined ? value === 0 || value === false : isDeepStrictEqual(value, initial);
}

function unknownKey(path: readonly string[]): string {
  const nearest = nearestWord(path.at(-1)!, knownKeys(path.slice(0, -1)));
  return `not a key of containerd that lazuli knows${nearest === undefined ? "" : `, "${nearest}" perhaps`}`;
}

function migratePluginList(migration: Migration, name: string, list: unknown): void {
  for (const plugin of Array.isArray(list) ? list : []) {
    if (name === "disabled_plugins" && plugin === "io.containerd.nri.v1.nri") {
      migration.take([name], ["nri", "disable"], true);
    } else if (name === "disabled_plugins" && plugin === "io.containerd.grpc.v1.cri") {
      migration.take([name], ["cri", "disable"], true);
    } else if (name === "disabled_plugins") {
      migration.drop([name], plugin, "lazuli has no plugins: what the config does not name does not run");
    } else migration.drop([name], plugin, "a part that can't start always ends the daemon");
  }
}

/** containerd's defaults, which say nothing. */
const unkept: Readonly<Record<string, string>> = {
  "io.containerd.timeout.bolt.open": "0s",
  "io.containerd.timeout.cri.defercleanup": "1m0s",
};

const kept: Readonly<Record<string, string>> = {
  "io.containerd.timeout.metrics.shimstats": "stats_timeout",
  "io.containerd.timeout.shim.cleanup": "cleanup_timeout",
  "io.containerd.timeout.shim.load": "load_timeout",
  "io.containerd.timeout.shim.shutdown": "shutdown_timeout",
  "io.containerd.timeout.task.state": "state_timeout",
};

function migrateTimeouts(migration: Migration, table: unknown): void {
  for (const [name, value] of Object.entries(isTomlTable(table) ? table : {})) {
    const from = ["timeouts", name];
    const key = Object.hasOwn(kept, name) ? kept[name] : undefined;
    const limit = limitText(value);
    if (key !== undefined && limit !== undefined) migration.take(from, ["shims", key], limit);
    else if (key !== undefined) migration.drop(from, value, "not a time");
    else if (!Object.hasOwn(unkept, name) || unkept[name] !== value) {
      migration.drop(from, value, "lazuli has no such wait");
    }
  }
}
