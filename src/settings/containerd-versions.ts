import { invalidArgument } from "../errors/index.js";
import { isTomlTable, moveAt, ownValue, setAt, type TomlTable, tableAt, takeAt } from "./toml-tables.js";

/** The newest form of containerd's config. */
const VERSION_MAX = 4;

const oldCri = "io.containerd.grpc.v1.cri";
const images = "io.containerd.cri.v1.images";
const runtime = "io.containerd.cri.v1.runtime";

/** Names that plugins had before form 2, where they had no types. */
const shortNames: Readonly<Record<string, string>> = {
  cri: oldCri,
  linux: "io.containerd.runtime.v1.linux",
  task: "io.containerd.runtime.v2.task",
  cgroups: "io.containerd.monitor.v1.cgroups",
  scheduler: "io.containerd.gc.v1.scheduler",
  bolt: "io.containerd.metadata.v1.bolt",
  opt: "io.containerd.internal.v1.opt",
  restart: "io.containerd.internal.v1.restart",
  "diff-service": "io.containerd.service.v1.diff-service",
  ...Object.fromEntries(
    ["aufs", "btrfs", "devmapper", "native", "overlayfs", "zfs"].map((name) => [
      name,
      `io.containerd.snapshotter.v1.${name}`,
    ]),
  ),
};

/**
 * Brings a document of containerd, of form 1 to 4, to the shape of form 4, in place; a key without a place there stays
 * where it is. Returns the form that it had. @throws INVALID_ARGUMENT for another form
 */
export function modernise(document: TomlTable): number {
  const version = document.version ?? 1;
  delete document.version;
  if (typeof version !== "number" || !Number.isInteger(version) || version < 1 || version > VERSION_MAX) {
    throw invalidArgument(
      `Cannot read containerd's config: want version 1 to ${VERSION_MAX}, got ${JSON.stringify(version)?.slice(0, 20)}`,
      { reason: "containerd-version-unknown" },
    );
  }
  if (version < 2) nameInFull(document);
  if (version < 3) splitCri(document);
  if (version < 4) moveServers(document);
  return version;
}

function nameInFull(document: TomlTable): void {
  const plugins = tableAt(document, ["plugins"]);
  for (const name of Object.keys(plugins ?? {})) {
    const full = ownValue(shortNames, name);
    if (typeof full === "string") moveAt(document, ["plugins", name], ["plugins", full]);
  }
  for (const key of ["disabled_plugins", "required_plugins"]) {
    const names = document[key];
    if (Array.isArray(names)) document[key] = names.map((name) => ownValue(shortNames, String(name)) ?? name);
  }
}

/** Form 2 had all of CRI in one plugin, and other names for two. */
function splitCri(document: TomlTable): void {
  const at = (...path: string[]): string[] => ["plugins", oldCri, ...path];
  const to = (plugin: string, ...path: string[]): string[] => ["plugins", plugin, ...path];
  moveAt(document, at("sandbox_image"), to(images, "pinned_images", "sandbox"));
  for (const key of [
    "max_concurrent_downloads",
    "image_pull_progress_timeout",
    "image_pull_with_sync_fs",
    "stats_collect_period",
    "registry",
    "image_decryption",
  ]) {
    moveAt(document, at(key), to(images, key));
  }
  for (const key of ["snapshotter", "disable_snapshot_annotations", "discard_unpacked_layers"]) {
    moveAt(document, at("containerd", key), to(images, key));
  }
  moveNamelessRuntimes(document, at("containerd"));
  for (const key of Object.keys(tableAt(document, at()) ?? {})) {
    if (!streamKeys.includes(key)) moveAt(document, at(key), to(runtime, key));
  }
  moveAt(document, to("io.containerd.internal.v1.restart"), to("io.containerd.monitor.container.v1.restart"));
  moveAt(document, to("io.containerd.monitor.v1.cgroups"), to("io.containerd.monitor.task.v1.cgroups"));
  for (const key of ["disabled_plugins", "required_plugins"]) {
    const names = document[key];
    if (Array.isArray(names)) document[key] = names.map((name) => renamed[String(name)] ?? name);
  }
}

const renamed: Readonly<Record<string, string>> = {
  "io.containerd.internal.v1.restart": "io.containerd.monitor.container.v1.restart",
  "io.containerd.monitor.v1.cgroups": "io.containerd.monitor.task.v1.cgroups",
};

/** What stays with the plugin of CRI's name. */
const streamKeys = [
  "disable_tcp_service",
  "stream_server_address",
  "stream_server_port",
  "stream_idle_timeout",
  "enable_tls_streaming",
  "x509_key_pair_streaming",
];

/** Two runtimes had tables of their own before all had names. */
function moveNamelessRuntimes(document: TomlTable, containerd: readonly string[]): void {
  const nameless = [
    ["default_runtime", "default"],
    ["untrusted_workload_runtime", "untrusted"],
  ] as const;
  for (const [key, name] of nameless) {
    const table = takeAt(document, [...containerd, key]);
    if (!isTomlTable(table) || typeof table.runtime_type !== "string" || table.runtime_type === "") continue;
    setAt(document, [...containerd, "runtimes", name], table);
    if (name === "default") setAt(document, [...containerd, "default_runtime_name"], name);
  }
}

/** Until form 4 the sockets had tables at the top. */
function moveServers(document: TomlTable): void {
  const server = (name: string, ...key: string[]): string[] => [
    "plugins",
    `io.containerd.server.v1.${name}`,
    ...key,
  ];
  for (const key of ["address", "tls_ca", "tls_cert", "tls_key", "tls_common_name"]) {
    moveAt(document, ["grpc", `tcp_${key}`], server("grpc-tcp", key));
  }
  moveAt(
    document,
    ["metrics", "grpc_histogram"],
    ["plugins", "io.containerd.metrics.v1.grpc-prometheus", "grpc_histogram"],
  );
  for (const key of ["address", "uid", "gid"]) moveAt(document, ["debug", key], server("debug", key));
  for (const name of ["grpc", "ttrpc", "metrics"]) moveAt(document, [name], server(name));
}
