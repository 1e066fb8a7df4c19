import type { Migration } from "./migration.js";
import { isTomlTable } from "./toml-tables.js";

const kinds = [
  "snapshot",
  "content",
  "diff",
  "sandbox",
  "io.containerd.snapshotter.v1",
  "io.containerd.content.v1",
  "io.containerd.differ.v1",
  "io.containerd.sandbox.controller.v1",
];

const proxyKeys = ["type", "address", "platform", "exports", "capabilities"];

/** Parts of others, by their sockets. */
export function migrateProxyPlugins(migration: Migration, plugins: unknown): void {
  for (const [name, table] of Object.entries(isTomlTable(plugins) ? plugins : {})) {
    const from = ["proxy_plugins", name];
    if (!isTomlTable(table) || !kinds.includes(String(table.type)) || typeof table.address !== "string") {
      migration.drop(from, table, "not a plugin of a kind that lazuli takes, with an address");
    } else if (/(^|\/)lazuli\//.test(table.address)) {
      migration.drop(from, table, "lazuli itself: its lazy snapshotter is called overlayfs here");
    } else {
      for (const [key, value] of Object.entries(table)) {
        if (value === "") continue;
        if (proxyKeys.includes(key)) migration.take([...from, key], [...from, key], value);
        else migration.drop([...from, key], value, "not a key of a plugin that lazuli knows");
      }
    }
  }
}

/** The program that containerd's own default runs for encrypted layers. */
const DECRYPTER = "ctd-decoder";
const KEYS_FLAG = "--decryption-keys-path";
const processorKeys = ["accepts", "returns", "path", "args", "env"];

/** Programs that make layers of other media types. lazuli decrypts by itself, with the same keys. */
export function migrateStreamProcessors(migration: Migration, processors: unknown): void {
  const keys = new Set<string>();
  for (const [name, table] of Object.entries(isTomlTable(processors) ? processors : {})) {
    const from = ["stream_processors", name];
    if (!isTomlTable(table)) migration.drop(from, table, "not a table");
    else if (typeof table.path === "string" && table.path.split("/").at(-1) === DECRYPTER) {
      const args = Array.isArray(table.args) ? table.args : [];
      const path = args[args.indexOf(KEYS_FLAG) + 1];
      if (args.includes(KEYS_FLAG) && typeof path === "string") keys.add(path);
      migration.take([...from, "args"], ["decryption", "keys"], [...keys]);
    } else {
      for (const [key, value] of Object.entries(table)) {
        if (processorKeys.includes(key)) migration.take([...from, key], [...from, key], value);
        else migration.drop([...from, key], value, "not a key of a processor that lazuli knows");
      }
    }
  }
}
