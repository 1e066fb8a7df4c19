import {
  bytesText,
  type Convert,
  countOrMax,
  countWithin,
  delayText,
  limitText,
  logLevel,
  NOTHING,
  pathList,
  pauseThreshold,
  portNumber,
  same,
  textOrNothing,
} from "./migrate-values.js";

/** What becomes of one key: it has a place in ours, or a reason to have none. */
export type KeyRule =
  | { readonly to: readonly string[]; readonly convert: Convert; readonly unfit: string }
  | { readonly reason: string; readonly initial?: unknown };

const rules = new Map<string, KeyRule>();

/** The rule for a key in the shape of form 4. */
export function ruleFor(path: readonly string[]): KeyRule | undefined {
  return rules.get(path.join("\0"));
}

/** Keys that are known in a table, for those that are mistyped. */
export function knownKeys(table: readonly string[]): string[] {
  const prefix = [...table, ""].join("\0");
  const keys = [...rules.keys()].filter((key) => key.startsWith(prefix));
  return [...new Set(keys.map((key) => key.slice(prefix.length).split("\0")[0]!))];
}

type Target = readonly [to: readonly string[], convert: Convert, unfit?: string];
type Targets = Readonly<Record<string, Convert | Target>>;

/** Keys of one table that go to one table of ours, by the same name where no other is given. */
function takes(table: readonly string[], to: readonly string[], targets: Targets): void {
  for (const [key, target] of Object.entries(targets)) {
    const [place, convert, unfit]: Target = typeof target === "function" ? [[...to, key], target] : target;
    const reason = unfit ?? `no value for our ${place.join(".")}`;
    rules.set([...table, key].join("\0"), { to: place, convert, unfit: reason });
  }
}

type Reasons = Readonly<Record<string, string | readonly [reason: string, initial: unknown]>>;

/** Keys that have no place in ours; one that says no more than its default is passed over. */
function drops(table: readonly string[], reasons: Reasons): void {
  for (const [key, reason] of Object.entries(reasons)) {
    const [text, initial] = typeof reason === "string" ? [reason, undefined] : reason;
    rules.set([...table, key].join("\0"), { reason: text, initial });
  }
}

const plugin = (...path: string[]): string[] => ["plugins", ...path];

const sockets = "nobody but the operator's own tools asked there; lazuli has no such socket";
const unit = "systemd's business: set it in deploy/lazuli-daemon.service";

drops([], {
  root: "the stores have different forms: lazuli keeps its own folder, `root`",
  state: "lazuli keeps its own folder, `state`",
  temp: "lazuli writes new files below `root`, where they end up",
  plugin_dir: "lazuli loads no Go plugins",
  oom_score: [`${unit}, OOMScoreAdjust=`, 0],
  cgroup: [`${unit}, Slice=`, { path: "" }],
});
takes(["debug"], ["log"], {
  level: logLevel,
  format: (value) => (value === "" ? NOTHING : value === "text" || value === "json" ? value : undefined),
});
drops(["debug"], { log_trace_id: ["spans go to OTEL_EXPORTER_OTLP_ENDPOINT, logs stay as they are", false] });

takes(plugin("io.containerd.server.v1.grpc"), ["daemon"], {
  address: [
    ["daemon", "address"],
    (value) => (value === "/run/containerd/containerd.sock" ? undefined : value),
    "containerd may still run there: once it does not, `[daemon] address` may be the same",
  ],
  uid: same,
  gid: same,
  max_recv_message_size: bytesText,
  max_send_message_size: bytesText,
});
drops(plugin("io.containerd.server.v1.grpc-tcp"), {
  address: "whoever may call is root on the node: lazuli serves on a Unix socket only",
  tls_ca: "belongs to the TCP server, which lazuli has not",
  tls_cert: "belongs to the TCP server, which lazuli has not",
  tls_key: "belongs to the TCP server, which lazuli has not",
  tls_common_name: "belongs to the TCP server, which lazuli has not",
  max_recv_message_size: ["belongs to the TCP server, which lazuli has not", 16_777_216],
  max_send_message_size: ["belongs to the TCP server, which lazuli has not", 16_777_216],
});
drops(plugin("io.containerd.server.v1.ttrpc"), {
  address: [
    'shims are told the address: it is always `[daemon] address` and ".ttrpc"',
    "/run/containerd/containerd.sock.ttrpc",
  ],
  uid: "shims run as the daemon's user",
  gid: "shims run as the daemon's group",
});
drops(plugin("io.containerd.server.v1.debug"), { address: sockets, uid: sockets, gid: sockets });
takes(plugin("io.containerd.server.v1.metrics"), ["metrics"], { address: textOrNothing });
drops(plugin("io.containerd.metrics.v1.grpc-prometheus"), {
  grpc_histogram: ["how long calls take is always measured", false],
});

takes(plugin("io.containerd.gc.v1.scheduler"), ["gc"], {
  pause_threshold: pauseThreshold,
  deletion_threshold: countWithin(0, 1_000_000),
  mutation_threshold: countWithin(0, 1_000_000),
  schedule_delay: delayText,
  startup_delay: delayText,
});
takes(plugin("io.containerd.metadata.v1.bolt"), [], {
  content_sharing_policy: [["content", "sharing_policy"], same],
});
drops(plugin("io.containerd.metadata.v1.bolt"), {
  no_sync: ["lazuli answers when the disk has it", false],
});

const cri = "io.containerd.grpc.v1.cri";
takes(plugin(cri), ["cri"], {
  stream_server_address: same,
  stream_server_port: portNumber,
  stream_idle_timeout: limitText,
  enable_tls_streaming: same,
});
drops(plugin(cri), { disable_tcp_service: ["the API is served on the Unix socket only", true] });
takes(plugin(cri, "x509_key_pair_streaming"), ["cri"], {
  tls_cert_file: textOrNothing,
  tls_key_file: textOrNothing,
});

const images = "io.containerd.cri.v1.images";
takes(plugin(images), ["cri", "images"], {
  discard_unpacked_layers: same,
  max_concurrent_downloads: countOrMax(64),
  image_pull_progress_timeout: limitText,
  image_pull_with_sync_fs: same,
  stats_collect_period: countWithin(1, 3600),
  pinned_images: same,
});
drops(plugin(images), {
  disable_snapshot_annotations: ["the names of image and layers are always told", true],
  use_local_image_pull: ["there is one way to pull", false],
  concurrent_layer_fetch_buffer: ["the engine divides layers by itself", 0],
});
takes(plugin(images, "registry"), [], { config_path: [["registry", "config_path"], pathList] });
drops(plugin(images, "image_decryption"), {
  key_model: ['`[decryption] keys` decrypt for all of the node, which is "node"', "node"],
});

const runtime = "io.containerd.cri.v1.runtime";
const flags = [
  "enable_selinux",
  "disable_apparmor",
  "restrict_oom_score_adj",
  "disable_proc_mount",
  "tolerate_missing_hugetlb_controller",
  "disable_hugetlb_controller",
  "device_ownership_from_security_context",
  "ignore_image_defined_volumes",
  "netns_mounts_under_state_dir",
  "enable_unprivileged_ports",
  "enable_unprivileged_icmp",
  "ignore_deprecation_warnings",
  "enable_criu",
];
takes(plugin(runtime), ["cri", "runtime"], {
  ...Object.fromEntries(flags.map((key) => [key, same])),
  selinux_category_range: countWithin(1, 1024),
  max_container_log_line_size: countOrMax(1024 * 1024),
  unset_seccomp_profile: textOrNothing,
  drain_exec_sync_io_timeout: delayText,
  enable_cdi: [["cdi", "enable_cdi"], same],
  cdi_spec_dirs: [["cdi", "cdi_spec_dirs"], same],
});
const legacy = "went with containerd's first runtime";
drops(plugin(runtime), {
  systemd_cgroup: [`${legacy}: set SystemdCgroup in the options of a runtime`, false],
  disable_cgroup: ["containers always have cgroups", false],
  stats_collect_period: "the time of `[cri.images] stats_collect_period` holds for all",
  stats_retention_period: "figures are not kept",
});
takes(plugin(runtime, "containerd"), ["cri", "runtime"], {
  default_runtime_name: same,
  ignore_blockio_not_enabled_errors: same,
  ignore_rdt_not_enabled_errors: same,
});
drops(plugin(runtime, "containerd"), { no_pivot: [`${legacy}: set NoPivotRoot there`, false] });
takes(plugin(runtime, "cni"), ["cri", "cni"], {
  bin_dir: [["cri", "cni", "bin_dirs"], (value) => (value === "" ? NOTHING : [value])],
  bin_dirs: same,
  conf_dir: same,
  max_conf_num: countOrMax(64),
  setup_serially: same,
  conf_template: textOrNothing,
  ip_pref: textOrNothing,
  use_internal_loopback: same,
});

takes(plugin("io.containerd.nri.v1.nri"), ["nri"], {
  disable: same,
  disable_connections: same,
  socket_path: same,
  plugin_path: same,
  plugin_config_path: same,
  plugin_registration_timeout: limitText,
  plugin_request_timeout: limitText,
});
const validator = [
  "enable",
  "reject_oci_hook_adjustment",
  "reject_runtime_default_seccomp_adjustment",
  "reject_unconfined_seccomp_adjustment",
  "reject_custom_seccomp_adjustment",
  "reject_namespace_adjustment",
  "reject_sysctl_adjustment",
  "required_plugins",
];
takes(plugin("io.containerd.nri.v1.nri", "default_validator"), ["nri", "default_validator"], {
  ...Object.fromEntries(validator.map((key) => [key, same])),
  tolerate_missing_plugins_annotation: textOrNothing,
});
const overlay =
  'the lazy snapshotter has this name; `[snapshotters.<name>] type = "overlayfs"` makes a plain one with this key';
drops(plugin("io.containerd.snapshotter.v1.overlayfs"), {
  root_path: "snapshots lie below `root`",
  upperdir_label: [overlay, false],
  sync_remove: [overlay, false],
  mount_options: [overlay, []],
  slow_chown: ['`[snapshotters.<name>] id_mapping = "chown"` is that', false],
});
drops(plugin("io.containerd.runtime.v2.task"), {
  platforms: ["the node's platform is the one that runs", ["linux/amd64"]],
  sched_core: ["shims get no core scheduling", false],
});
drops(plugin("io.containerd.shim.v1.manager"), {
  env: "shims have the daemon's environment: set it in the unit",
  socket_dir: "shims choose the folder of their sockets",
});
drops(plugin("io.containerd.internal.v1.opt"), { path: ["there is no /opt of its own", "/opt/containerd"] });
drops(plugin("io.containerd.service.v1.tasks-service"), {
  blockio_config_file: "block I/O classes are not set up by lazuli",
  rdt_config_file: "RDT classes are not set up by lazuli",
});
drops(plugin("io.containerd.monitor.task.v1.cgroups"), {
  no_prometheus: ["figures are served where `[metrics]` says, or not at all", false],
});
const otlp = (name: string): string => `set ${name} in the environment of the daemon`;
drops(plugin("io.containerd.tracing.processor.v1.otlp"), {
  endpoint: otlp("OTEL_EXPORTER_OTLP_ENDPOINT"),
  protocol: otlp("OTEL_EXPORTER_OTLP_PROTOCOL"),
  insecure: otlp("OTEL_EXPORTER_OTLP_ENDPOINT, with http:// or https://"),
});
drops(plugin("io.containerd.internal.v1.tracing"), {
  service_name: [otlp("OTEL_SERVICE_NAME"), "containerd"],
  sampling_ratio: [otlp("OTEL_TRACES_SAMPLER_ARG"), 1],
});

takes(plugin("io.containerd.transfer.v1.local"), ["transfer"], {
  max_concurrent_downloads: countOrMax(64),
  max_concurrent_uploaded_layers: countOrMax(64),
  max_concurrent_unpacks: countOrMax(64),
  config_path: [["registry", "config_path"], pathList],
});
const served = "`[transfer] snapshotter` and `platforms` say what pulls unpack with";
drops(plugin("io.containerd.transfer.v1.local"), {
  concurrent_layer_fetch_buffer: ["the engine divides layers by itself", 0],
  check_platform_supported: [served, false],
  unpack_config: served,
});
takes(plugin("io.containerd.image-verifier.v1.bindir"), ["image_verifier"], {
  bin_dir: same,
  max_verifiers: countOrMax(1000),
  per_verifier_timeout: limitText,
});
takes(plugin("io.containerd.monitor.container.v1.restart"), ["restart"], { interval: limitText });
drops(plugin("io.containerd.service.v1.diff-service"), {
  default: ["layers are unpacked and compared by lazuli itself", ["walking"]],
  sync_fs: ["clients ask for it at each layer", false],
});
