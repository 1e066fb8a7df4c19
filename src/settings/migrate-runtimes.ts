import { countOrNothing, NOTHING, same, textOrNothing } from "./migrate-values.js";
import type { Migration } from "./migration.js";
import { isTomlTable, type TomlTable, takeAt } from "./toml-tables.js";

const runtimesPath = ["io.containerd.cri.v1.runtime", "containerd", "runtimes"];

const keys: Readonly<Record<string, (value: unknown) => unknown>> = {
  runtime_path: textOrNothing,
  pod_annotations: same,
  container_annotations: same,
  privileged_without_host_devices: falseOrNothing,
  privileged_without_host_devices_all_devices_allowed: falseOrNothing,
  cgroup_writable: falseOrNothing,
  base_runtime_spec: textOrNothing,
  cni_conf_dir: textOrNothing,
  cni_max_conf_num: countOrNothing,
  snapshotter: textOrNothing,
  sandboxer: textOrNothing,
  disable_pause_image_pull: falseOrNothing,
  io_type: textOrNothing,
};

/** Names of shims that containerd has no more, and what stands in their place. */
const replacements: Readonly<Record<string, string>> = {
  "io.containerd.runtime.v1.linux": "io.containerd.runc.v2",
  "io.containerd.runc.v1": "io.containerd.runc.v2",
};

/** Keys of the first runtime, which are options of its successor. */
const engineOptions: Readonly<Record<string, string>> = {
  runtime_engine: "BinaryName",
  runtime_root: "Root",
};

/** The runtimes of pods, which have any names: `[cri.runtime.runtimes.<name>]`. */
export function migrateRuntimes(migration: Migration, plugins: TomlTable): void {
  const runtimes = takeAt(plugins, runtimesPath);
  for (const [name, table] of Object.entries(isTomlTable(runtimes) ? runtimes : {})) {
    const from = ["plugins", ...runtimesPath, name];
    if (!isTomlTable(table)) migration.drop(from, table, "not a table");
    else migrateRuntime(migration, { name, table, from });
  }
}

interface Runtime {
  readonly name: string;
  readonly table: TomlTable;
  readonly from: readonly string[];
}

function migrateRuntime(migration: Migration, { name, table, from }: Runtime): void {
  const to = ["cri", "runtime", "runtimes", name];
  const { runtime_type: type, options, ...rest } = table;
  if (typeof type !== "string" || type === "") {
    migration.drop(from, table, "a runtime without runtime_type is none");
    return;
  }
  const replacement = Object.hasOwn(replacements, type) ? replacements[type] : undefined;
  migration.take([...from, "runtime_type"], [...to, "runtime_type"], replacement ?? type);
  if (replacement !== undefined) {
    migration.drop([...from, "runtime_type"], type, `is no more: ${replacement} stands in its place`);
  }
  for (const [key, value] of Object.entries(isTomlTable(options) ? options : {})) {
    if (value === "" || value === 0 || value === false) continue;
    migration.take([...from, "options", key], [...to, "options", key], value);
  }
  for (const [key, value] of Object.entries(rest)) {
    const option = Object.hasOwn(engineOptions, key) ? engineOptions[key] : undefined;
    const convert = Object.hasOwn(keys, key) ? keys[key] : undefined;
    if (option !== undefined) {
      if (value !== "") migration.take([...from, key], [...to, "options", option], value);
    } else if (convert === undefined) {
      migration.drop([...from, key], value, "not a key of a runtime that lazuli knows");
    } else if (convert(value) !== NOTHING) migration.take([...from, key], [...to, key], convert(value));
  }
}

function falseOrNothing(value: unknown): unknown {
  return value === false ? NOTHING : value;
}
