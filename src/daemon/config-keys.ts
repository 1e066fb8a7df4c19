import { credentials } from "./config-credentials.js";
import { cdi, cri, criCni, criImages, criRuntime, nri, nriValidator } from "./config-cri.js";
import { diff } from "./config-diff.js";
import {
  booleanField,
  choiceField,
  countField,
  delayField,
  durationField,
  type Field,
  fractionField,
  keysField,
  optionalListenField,
  optionalPathField,
  optionalTextField,
  pathField,
  pathsField,
  rateField,
  sizeField,
  sizeOrShareField,
  socketField,
  textsField,
} from "./config-fields.js";
import type { namedTableFields } from "./config-named-tables.js";
import { profiles } from "./config-profiles.js";
import { restart, shims } from "./config-shims.js";
import { trace } from "./config-trace.js";
import { imageVerifier, transfer } from "./config-transfer.js";

/**
 * Every key of the config, once: parsing, flags, `lazuli config default`, `lazuli config dump` and docs/config.md
 * come from here. The names on the left are the program's, with units; `key` is the operator's.
 */
export const topFields = {
  root: pathField({
    key: "root",
    initial: "/var/lib/lazuli",
    meaning:
      "Folder for what must survive a restart: layers, snapshots, metadata. Needs a local file system that overlayfs takes as an upper layer (ext4, xfs, btrfs).",
  }),
  state: pathField({
    key: "state",
    initial: "/run/lazuli",
    meaning: "Folder for what a reboot may empty: the node's FUSE mount and the lock.",
  }),
} as const;

const snapshotter = {
  address: socketField({
    key: "address",
    flag: "address",
    initial: "/run/lazuli/snapshotter.sock",
    meaning:
      "Unix socket on which containerd finds the snapshotter. The same path stands in its proxy_plugins.",
  }),
  resolveTimeoutMs: durationField({
    key: "resolve_timeout",
    initial: "30s",
    meaning:
      "Longest time that one Prepare may spend on finding out whether a layer can be lazy. After it the layer is left to containerd, which pulls it whole.",
  }),
  pullTimeoutMs: durationField({
    key: "pull_timeout",
    initial: "30m",
    meaning:
      "Longest time that one Prepare may spend on fetching a whole layer, where `[layer] pull_whole` is on.",
  }),
  stopTimeoutMs: durationField({
    key: "stop_timeout",
    initial: "10s",
    meaning: "On SIGTERM, longest wait for calls that are being answered. A second signal ends at once.",
  }),
} as const;

/** (uid_t)-1 stands for nobody in particular (chown(2)). */
const ID_MAX = 4_294_967_294;

const daemon = {
  address: socketField({
    key: "address",
    initial: "/run/lazuli/lazuli-containerd.sock",
    meaning:
      "Unix socket on which `lazuli daemon` serves containerd's API: `ctr --address` and other clients take this path. `lazuli snapshotter` does not use it.",
  }),
  uid: countField({
    key: "uid",
    min: 0,
    max: ID_MAX,
    initial: 0,
    meaning: "User who has the socket. Its mode is 0660: this user and the group below may connect.",
  }),
  gid: countField({
    key: "gid",
    min: 0,
    max: ID_MAX,
    initial: 0,
    meaning:
      "Group who has the socket. Whoever may connect is as good as root on the node. The folders above the socket have to let the group through, which the top `state` does not.",
  }),
  group: optionalTextField({
    key: "group",
    example: "containers",
    meaning: "The same by its name in /etc/group, in place of `gid`.",
  }),
  receivedMessageBytesMax: sizeField({
    key: "max_recv_message_size",
    initial: "16MiB",
    meaning: "Largest message that is taken from a client.",
  }),
  sentMessageBytesMax: sizeField({
    key: "max_send_message_size",
    initial: "16MiB",
    meaning: "Largest message that is sent to a client.",
  }),
} as const;

const content = {
  sharingPolicy: choiceField({
    key: "sharing_policy",
    choices: ["shared", "isolated"] as const,
    initial: "shared",
    meaning:
      'Whether a namespace may have a blob of another one by its digest alone ("shared"), or has to bring the bytes ("isolated"). Both keep the bytes once.',
  }),
  scrub: booleanField({
    key: "scrub",
    initial: true,
    meaning:
      "Read the blobs on disk again while the daemon runs, and take those away that have other bytes than their digests say.",
  }),
  scrubBytesPerSecond: sizeField({
    key: "scrub_bytes_per_second",
    initial: "8MiB",
    meaning: "Most bytes that scrubbing reads in a second.",
  }),
} as const;

const gc = {
  pauseThreshold: fractionField({
    key: "pause_threshold",
    min: 0,
    max: 0.5,
    initial: 0.02,
    meaning: "Largest part of the time that collections may take. It bounds how often they run.",
  }),
  deletionThreshold: countField({
    key: "deletion_threshold",
    min: 0,
    max: 1_000_000,
    initial: 0,
    meaning:
      "Deletions after which a collection is due at once. With 0 a deletion makes one due as soon as the other keys allow.",
  }),
  mutationThreshold: countField({
    key: "mutation_threshold",
    min: 0,
    max: 1_000_000,
    initial: 100,
    meaning:
      "Changes of the metadata after which a collection is due, deletions or not. With 0 changes make none due.",
  }),
  scheduleDelayMs: delayField({
    key: "schedule_delay",
    initial: "0s",
    meaning: "Wait between the moment that a collection is due and its start.",
  }),
  startupDelayMs: delayField({
    key: "startup_delay",
    initial: "100ms",
    meaning: "Wait between the start of the daemon and its first collection.",
  }),
} as const;

const layer = {
  mount: choiceField({
    key: "mount",
    environment: "LAZULI_MOUNT",
    choices: ["auto", "erofs", "fuse-tree"] as const,
    initial: "auto",
    meaning:
      'How a lazy layer is mounted. "auto" takes EROFS where the kernel can mount it from a file (6.12 and newer), else a FUSE tree.',
  }),
  keeper: choiceField({
    key: "keeper",
    choices: ["auto", "keeper", "systemd", "off"] as const,
    initial: "auto",
    meaning:
      'What holds the FUSE mounts while the process is away, so that readers wait instead of failing (Linux 6.9). "keeper": the program lazuli-keeper, which is started and outlives the process. "systemd": the store of the unit (FileDescriptorStoreMax=). "auto": systemd where it says that there is a store (254 and newer), else the keeper. "off": lazy layers end with the process.',
  }),
  demandDeadlineMs: durationField({
    key: "demand_deadline",
    initial: "60s",
    meaning:
      "Longest time that a process may wait for bytes of a file, over all retries and mirrors. After it its read fails with EIO.",
  }),
  unusedGraceMs: durationField({
    key: "unused_grace",
    initial: "5m",
    meaning:
      "How long the bytes of a layer stay that no snapshot has any more, for the next pull of an image with this layer.",
  }),
  readaheadMaxBytes: sizeField({
    key: "readahead_max",
    initial: "4MiB",
    meaning: "Most bytes that are fetched beyond a read when a process reads a file in order.",
  }),
  backgroundFill: booleanField({
    key: "background_fill",
    initial: true,
    meaning:
      "Fetch the rest of a layer while nobody waits, so that it stays usable without the registry. It grows to several requests at once and halves when a read takes longer for it; a layer of which reads touch more than 60 % is fetched at full speed at once.",
  }),
  fillBytesPerSecond: rateField({
    key: "fill_bandwidth",
    initial: "0",
    meaning:
      "Most bytes a second that `background_fill` takes of the link, over all layers, also at full speed. Reads that wait and profiles are not limited.",
  }),
  budget: sizeOrShareField({
    key: "budget",
    initial: "0",
    meaning:
      'Most bytes of the disk that the files of all lazy layers may take: a size, a share of the file system of `root` such as "60%", or "0" for no limit. Above `budget_high` the bytes that were not read for longest are given up, down to `budget_low`, and fetched again when somebody reads them. Layers of running containers and pinned ones come last.',
  }),
  budgetHigh: fractionField({
    key: "budget_high",
    min: 0.1,
    max: 1,
    initial: 0.95,
    meaning: "Part of `budget` from which on bytes are given up, and nothing is fetched ahead.",
  }),
  budgetLow: fractionField({
    key: "budget_low",
    min: 0.05,
    max: 1,
    initial: 0.85,
    meaning:
      "Part of `budget` down to which bytes are given up, and up to which `background_fill` fetches. Not above `budget_high`.",
  }),
  pinned: textsField({
    key: "pinned",
    initial: [],
    meaning:
      'Layers that give up bytes only where nothing else is left: image references, beginnings of references that end in "*", or digests of layers.',
  }),
  pullWhole: booleanField({
    key: "pull_whole",
    initial: true,
    meaning:
      "Fetch a layer without an index (plain gzip, zstd or tar) whole by several requests and show it from its archive, in place of leaving it to containerd, which unpacks it. Only where the client has not downloaded it already.",
  }),
  pullWholeBytesMin: sizeField({
    key: "pull_whole_min",
    initial: "1MiB",
    meaning: "Smaller layers are left to containerd.",
  }),
  soci: booleanField({
    key: "soci",
    initial: true,
    meaning:
      "Look for the SOCI index that an image's manifest names (v2), and fetch its layers lazily by it. A label with an index's digest counts always.",
  }),
  sociReferrers: booleanField({
    key: "soci_referrers",
    initial: false,
    meaning:
      "Also ask the registry for SOCI indexes that refer to the image (v1). Anyone who may push to the repository can add one, so it is off, as in SOCI itself.",
  }),
  fineReferrers: booleanField({
    key: "fine_referrers",
    initial: false,
    meaning:
      "Ask the registry for indexes of our own that refer to the image (`lazuli index create --kind fine`), and prefer them to those of SOCI. Anyone who may push to the repository can add one, so it is off.",
  }),
  fuseThreads: countField({
    key: "fuse_threads",
    min: 1,
    max: 64,
    initial: 4,
    meaning: "Threads that answer the kernel's requests.",
  }),
  workerThreads: countField({
    key: "worker_threads",
    min: 1,
    max: 64,
    initial: 2,
    meaning: "Threads that decode and verify. One a core is enough.",
  }),
} as const;

const decryption = {
  keys: keysField({
    key: "keys",
    initial: ["/etc/containerd/ocicrypt/keys"],
    meaning:
      "Private keys for encrypted images (ocicrypt, JWE and PKCS#7): files, or folders of them, in PEM, DER or JWK, as containerd's `ctd-decoder` and `skopeo` take them. They are read at each layer. A path may be followed by `:file=` and the path of a password, or by `:pass=` and the password itself, which `lazuli config dump` does not show. Encrypted layers are fetched whole, where `[layer] pull_whole` is on, whatever their size.",
  }),
} as const;

const containerd = {
  enabled: booleanField({
    key: "enabled",
    initial: true,
    meaning:
      "Look into the content store of containerd for the source of a layer that the client named without image labels. Only ever reads.",
  }),
  address: socketField({
    key: "address",
    initial: "/run/containerd/containerd.sock",
    meaning: "containerd's own socket.",
  }),
  timeoutMs: durationField({
    key: "timeout",
    initial: "2s",
    meaning: "Longest time for one such look, all calls together.",
  }),
} as const;

const registry = {
  configPaths: pathsField({
    key: "config_path",
    initial: ["/etc/containerd/certs.d"],
    meaning:
      "Folders with `<host>/hosts.toml`, as containerd has them: mirrors, headers, certificates. First match wins.",
  }),
  dockerConfig: optionalPathField({
    key: "docker_config",
    example: "/root/.docker/config.json",
    meaning:
      "Docker's config file with credentials of registries, as `docker login` writes it. Without the key: `$DOCKER_CONFIG/config.json`, else `~/.docker/config.json` of the daemon's user. A host without a credential is asked anonymously.",
  }),
  stallTimeoutMs: durationField({
    key: "stall_timeout",
    initial: "10s",
    meaning: "A connection that brings no byte for this long is dropped and the rest is asked for anew.",
  }),
  attempts: countField({
    key: "attempts",
    min: 1,
    max: 20,
    initial: 16,
    meaning:
      "Most rounds over all mirrors for one request, with growing waits between them. `demand_deadline` ends it earlier.",
  }),
  requestsPerHost: countField({
    key: "requests_per_host",
    min: 1,
    max: 256,
    initial: 16,
    meaning:
      "Most requests that run at once against one host; further ones wait in line: reads that somebody waits for go first, then pulls, then what is fetched ahead, then `background_fill`.",
  }),
  requestsPerSecond: countField({
    key: "requests_per_second",
    min: 0,
    max: 10_000,
    initial: 0,
    meaning: "Most requests that begin within a second at one host, in the same order. 0: no limit.",
  }),
} as const;

const metrics = {
  address: optionalListenField({
    key: "address",
    example: "127.0.0.1:9410",
    meaning:
      "Where Prometheus finds `/metrics`, and probes find `/healthz`: host:port or a Unix socket. Without the key nothing listens. There is no authentication: keep it on the loopback.",
  }),
} as const;

const log = {
  level: choiceField({
    key: "level",
    choices: ["debug", "info", "warn", "error"] as const,
    initial: "info",
    meaning: "Least level that is written to stderr.",
  }),
  format: choiceField({
    key: "format",
    choices: ["json", "text"] as const,
    initial: "json",
    meaning: "One JSON object a line, or text for a person at a terminal.",
  }),
} as const;

export const tableFields = {
  snapshotter,
  daemon,
  content,
  gc,
  layer,
  profiles,
  trace,
  decryption,
  containerd,
  registry,
  credentials,
  metrics,
  log,
  cri,
  criImages,
  criRuntime,
  criCni,
  nri,
  nriValidator,
  cdi,
  transfer,
  diff,
  shims,
  restart,
  imageVerifier,
} as const;

/** The operator's names of tables that lie in others. */
const nestedTables: Readonly<Record<string, string>> = {
  criImages: "cri.images",
  criRuntime: "cri.runtime",
  criCni: "cri.cni",
  nriValidator: "nri.default_validator",
  imageVerifier: "image_verifier",
};

type ValuesOf<Fields> = {
  readonly [Name in keyof Fields]: Fields[Name] extends Field<infer Value> ? Value : never;
};

/** The tables of one kind by the operator's names for them. */
type NamedTables = {
  readonly [Kind in keyof typeof namedTableFields]: Readonly<
    Record<string, ValuesOf<(typeof namedTableFields)[Kind]["fields"]>>
  >;
};

/** The config as the program sees it: checked, whole, in milliseconds and bytes. */
export type Config = ValuesOf<typeof topFields> & {
  readonly [Table in keyof typeof tableFields]: ValuesOf<(typeof tableFields)[Table]>;
} & NamedTables;

/** A key with its place in both worlds. */
export interface ConfigKey {
  /** The operator's name of its table, with dots where it lies in another; "" for a key at the top. */
  readonly table: string;
  /** Name of the table in `Config`. */
  readonly place: string;
  /** Name in `Config`. */
  readonly name: string;
  /** `layer.mount`, for people. */
  readonly path: string;
  readonly flag: string;
  readonly field: Field<unknown>;
}

export const configKeys: readonly ConfigKey[] = [
  ...keysOf("", topFields),
  ...Object.entries(tableFields).flatMap(([table, fields]) => keysOf(table, fields)),
];

function keysOf(place: string, fields: object): ConfigKey[] {
  const table = nestedTables[place] ?? place;
  return Object.entries(fields as Readonly<Record<string, Field<unknown>>>).map(([name, field]) => ({
    table,
    place,
    name,
    path: table === "" ? field.key : `${table}.${field.key}`,
    flag: field.flag ?? (table === "" ? field.key : `${table}-${field.key}`).replaceAll(/[_.]/g, "-"),
    field,
  }));
}
