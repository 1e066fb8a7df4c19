import { criRuntimes } from "./config-cri.js";
import {
  durationField,
  type Field,
  mandatoryChoiceField,
  mandatorySocketField,
  mandatoryTextField,
  optionalBooleanField,
  optionalChoiceField,
  optionalPathField,
  optionalSizeField,
  optionalSocketField,
  optionalTextField,
  textsField,
  textTableField,
} from "./config-fields.js";

/** Kinds of snapshotters that lazuli has itself. */
export const ownTypes = ["lazy", "overlayfs", "btrfs", "native"] as const;
export type OwnType = (typeof ownTypes)[number];

const snapshotter = {
  type: mandatoryChoiceField({
    key: "type",
    choices: ownTypes,
    example: "btrfs",
    meaning:
      '"lazy" is the one that this node always has, and gives it another name. The others keep whole layers, as containerd\'s snapshotters of these names do; "native" copies.',
  }),
  root: optionalPathField({
    key: "root",
    example: "/var/lib/lazuli/snapshotters/fast",
    meaning:
      "Folder for its trees, of mode 0700 and nobody else's. btrfs needs one on a btrfs. Without the key: `snapshotters/<name>` below the top `root`. Not for the lazy one, whose snapshots lie in the top `root`.",
  }),
  address: optionalSocketField({
    key: "address",
    example: "/run/lazuli/fast.sock",
    meaning:
      "Unix socket of its own in `lazuli snapshotter`, which takes requests with any snapshotter's name. Without the key it is served on `[snapshotter] address` with the others, told apart by the name in the request. `lazuli daemon` serves all of them on its one socket and does not use it.",
  }),
  syncRemove: optionalBooleanField({
    key: "sync_remove",
    example: true,
    meaning:
      "Delete a tree when its snapshot is removed, and not at the next clean-up. Without the key: as containerd's snapshotter of this type does (overlayfs at the clean-up, btrfs and native at once). Not for the lazy one.",
  }),
  upperdirLabel: optionalBooleanField({
    key: "upperdir_label",
    example: true,
    meaning:
      "Show where a snapshot's own files are by the label `containerd.io/snapshot/overlay.upperdir`. For overlayfs only.",
  }),
  mountOptions: textsField({
    key: "mount_options",
    initial: [],
    meaning: 'Further options of every overlay mount, e.g. ["volatile"]. For overlayfs only.',
  }),
  idMapping: optionalChoiceField({
    key: "id_mapping",
    choices: ["mounts", "options", "chown"] as const,
    example: "mounts",
    meaning:
      'How a container in a user namespace gets files with its own owners. "mounts": its layers are mounted idmapped below the top `state`, so that any client can use them; needs Linux 5.19 (6.12 where layers are FUSE mounts). "options": the client is told `uidmap=` and `gidmap=`, as containerd 2 does; older ones refuse such mounts. "chown": the image is copied with other owners for each such container, which is slow, takes its room and fetches all of a lazy one. Without the key: "mounts". For overlayfs and lazy only.',
  }),
  defaultQuotaBytes: optionalSizeField({
    key: "default_quota",
    example: "10GiB",
    meaning:
      "What a container may write: a write beyond it fails. The label `containerd.io/snapshot/max-size` says otherwise for one. Not for layers that are unpacked. Needs project quotas: ext4 made with `-O quota,project` or xfs, mounted with `prjquota`, and Linux 5.14. Without the key, and without the label, nothing is limited. For overlayfs and lazy only.",
  }),
} as const;

/** Words for what can be plugged in, and containerd's long ones. */
const proxyTypes = [
  "snapshot",
  "content",
  "diff",
  "sandbox",
  "io.containerd.snapshotter.v1",
  "io.containerd.content.v1",
  "io.containerd.differ.v1",
  "io.containerd.sandbox.controller.v1",
] as const;

const proxyPlugin = {
  type: mandatoryChoiceField({
    key: "type",
    choices: proxyTypes,
    example: "snapshot",
    meaning:
      "What is plugged in: a snapshotter, a content store, a differ or a sandbox controller, by containerd's short word or its long one. A content store takes the place of our own; there can be one. A differ is used where `[diff] default` names it; it has to use our content. Sandboxes are run by the controller that a client or a pod's runtime names.",
  }),
  address: mandatorySocketField({
    key: "address",
    example: "/run/soci-snapshotter-grpc/soci-snapshotter-grpc.sock",
    meaning: "Unix socket on which it serves containerd's API of its kind. It need not be there yet.",
  }),
  platform: optionalTextField({
    key: "platform",
    example: "linux/amd64",
    meaning: "Taken as containerd takes it; a snapshotter has the node's platform.",
  }),
  capabilities: textsField({
    key: "capabilities",
    initial: [],
    meaning: 'What clients may ask of it, shown by `ctr plugins ls`, e.g. ["remap-ids"].',
  }),
  exports: textTableField({
    key: "exports",
    initial: {},
    meaning:
      'Facts for clients, shown by `ctr plugins ls`. With `enable_remote_snapshot_annotations = "true"` it is told the names of image and layers at a pull.',
  }),
  snapshotter: optionalTextField({
    key: "snapshotter",
    example: "overlayfs",
    meaning:
      "The snapshotter's name in requests to it. Without the key: the table's name. Plugins take any; a containerd has several. For snapshotters only.",
  }),
  namespace: optionalTextField({
    key: "namespace",
    example: "lazuli",
    meaning:
      "Set it where a containerd serves at the address: everything is kept in this namespace of it, which must be used for nothing else, and is labelled so that its garbage collector leaves it. Without the key the namespace of each call goes with it, as plugins expect. Not for sandbox controllers. Without the key, content is kept in `default`, for plugins that keep namespaces apart.",
  }),
  connectTimeoutMs: durationField({
    key: "connect_timeout",
    initial: "5s",
    meaning: "Longest time that a call waits for a socket that takes no connection, e.g. during a restart.",
  }),
  callTimeoutMs: durationField({
    key: "call_timeout",
    initial: "5m",
    meaning:
      "Longest time that a call waits for its answer; of a stream, for each part of it. Who waits for a sandbox to end may wait for ever.",
  }),
} as const;

const streamProcessor = {
  accepts: textsField({
    key: "accepts",
    initial: [],
    meaning:
      "Media types of layers that it takes, one at least. Types that lazuli decodes itself are given to no processor.",
  }),
  returns: mandatoryTextField({
    key: "returns",
    example: "application/vnd.oci.image.layer.v1.tar+gzip",
    meaning: "Media type of what it writes: a layer's, or one that another processor takes.",
  }),
  path: mandatoryTextField({
    key: "path",
    example: "ctd-decoder",
    meaning:
      "The program, by its path or by a name in PATH. It reads the layer from stdin and writes to stdout; `STREAM_PROCESSOR_MEDIATYPE` is the media type of what it reads.",
  }),
  args: textsField({ key: "args", initial: [], meaning: "Its arguments." }),
  env: textsField({
    key: "env",
    initial: [],
    meaning:
      "Its environment beside PATH and HOME, each `NAME=value`. Nothing else of lazuli's environment is passed on.",
  }),
} as const;

/** Tables of which there are as many as the operator names: `[<key>.<name>]`. */
export const namedTableFields = {
  snapshotters: {
    key: "snapshotters",
    meaning:
      "Our snapshotters, a table each by the name that clients ask for. Without any, only the lazy one runs: as `overlayfs` in `lazuli daemon`, and in `lazuli snapshotter` under any name. A table adds one; a table of the lazy one's name (there `overlayfs`, here `lazuli`) takes its place, and one of type `lazy` gives it another name. A name keeps its type for as long as it has snapshots.",
    example: "fast",
    fields: snapshotter,
  },
  proxyPlugins: {
    key: "proxy_plugins",
    meaning:
      "Parts of others that `lazuli daemon` uses by their sockets, a table each by the name that clients ask for. The keys are containerd's, and four of our own. `lazuli snapshotter` does not use them.",
    example: "soci",
    fields: proxyPlugin,
  },
  streamProcessors: {
    key: "stream_processors",
    meaning:
      "Programs that make layers of other media types, as containerd runs them, a table each; its keys are containerd's. They come before lazuli's own decryption. Such layers are fetched whole, where `[layer] pull_whole` is on.",
    example: "ctd-decoder",
    fields: streamProcessor,
  },
  criRuntimes: {
    key: "cri.runtime.runtimes",
    meaning:
      "Runtimes of Kubernetes, a table each by the handler's name in its RuntimeClass. Without a table `runc` there is one of type `io.containerd.runc.v2`.",
    example: "kata",
    initial: { runc: { runtime_type: "io.containerd.runc.v2" } },
    fields: criRuntimes,
  },
} as const;

/** One kind of named tables, for code that treats them all alike. */
export interface NamedTable {
  /** Name in `Config`. */
  readonly name: string;
  readonly key: string;
  readonly meaning: string;
  /** A name for examples. */
  readonly example: string;
  /** Tables that are there unless the file has its own of their names. */
  readonly initial?: Readonly<Record<string, unknown>>;
  readonly fields: Readonly<Record<string, Field<unknown>>>;
}

export const namedTables: readonly NamedTable[] = Object.entries(namedTableFields).map(([name, table]) => ({
  ...table,
  name,
  fields: table.fields as unknown as Readonly<Record<string, Field<unknown>>>,
}));
