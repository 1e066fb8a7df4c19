import { randomBytes } from "node:crypto";
import type { Mount } from "../../gen/containerd/types/mount_pb.js";
import type { Digest } from "../bytes/index.js";
import { dataLoss, failedPrecondition, LazuliError } from "../errors/index.js";
import type { ImageLayer } from "../oci/index.js";
import type { Connection } from "./connection.js";
import type { Labels, Waiting } from "./messages.js";
import type { OnPullEvent } from "./pull-event.js";
import type { PlatformImage } from "./read-image.js";

/** `auto`: where the snapshotter takes layers that nobody has unpacked; `always`: every layer, or the pull fails. */
export type LazyMode = "auto" | "never" | "always";

export interface UnpackOptions extends Waiting {
  /** The image's name, which lazy snapshotters ask the registry by. */
  readonly name: string;
  readonly image: PlatformImage;
  readonly snapshotter: string;
  /** Layers are offered to the snapshotter before they are fetched. */
  readonly isLazy: boolean;
  /** A layer that the snapshotter doesn't take is an error. */
  readonly isLazyOnly?: boolean;
  /** Brings a layer's bytes into the content store. */
  readonly fetchLayer: (layer: ImageLayer) => Promise<void>;
  readonly onEvent?: OnPullEvent | undefined;
}

/** containerd's: key plus value of a label. */
const LABEL_BYTES_MAX = 4096;

/** Makes each layer a snapshot, from the bottom up, as containerd's unpacker does. Must run under a lease. */
export async function unpackImage(connection: Connection, options: UnpackOptions): Promise<void> {
  const { image, snapshotter, onEvent, signal } = options;
  for (const [at, layer] of image.layers.entries()) {
    signal?.throwIfAborted();
    const state = await unpackLayer(connection, { ...options, at, layer });
    onEvent?.({ kind: "layer", digest: layer.descriptor.digest, state });
  }
  const top = image.layers.at(-1)?.chainId;
  if (top === undefined) return;
  const label = `containerd.io/gc.ref.snapshot.${snapshotter}`;
  await connection.content.update({
    digest: image.manifest.config.digest,
    labels: { [label]: top },
    fieldPaths: [`labels.${label}`],
  });
}

interface LayerStep extends UnpackOptions {
  readonly at: number;
  readonly layer: ImageLayer;
}

async function unpackLayer(
  connection: Connection,
  step: LayerStep,
): Promise<"present" | "lazy" | "unpacked"> {
  const { layer, snapshotter, signal } = step;
  const { chainId } = layer;
  if (await hasSnapshot(connection, { snapshotter, key: chainId, signal })) return "present";
  const parent = step.image.layers[step.at - 1]?.chainId ?? "";
  const key = `extract-${Date.now() % 1_000_000_000}-${randomBytes(3).toString("base64url")} ${chainId}`;
  const labels = step.isLazy ? remoteLabels(step) : {};
  const mounts = await prepare(connection, { snapshotter, key, parent, labels, signal });
  // It has the layer already, or took it as a lazy one.
  if (mounts === undefined) return "lazy";
  try {
    if (step.isLazyOnly === true) throw notLazy(layer);
    await step.fetchLayer(layer);
    await apply(connection, { layer, mounts, signal });
    await commit(connection, { snapshotter, key, name: chainId, signal });
    await connection.content.update({
      digest: layer.descriptor.digest,
      labels: { "containerd.io/uncompressed": layer.diffId },
      fieldPaths: ["labels.containerd.io/uncompressed"],
    });
    return "unpacked";
  } catch (thrown) {
    // What is left of it nobody needs; the collector finds it when this fails as well.
    await removeSnapshot(connection, { snapshotter, key }).catch(() => undefined);
    throw thrown;
  }
}

function notLazy(layer: ImageLayer): Error {
  const { digest } = layer.descriptor;
  return failedPrecondition(`Cannot pull lazily: the snapshotter wants the layer ${digest} unpacked`, {
    subject: digest,
    reason: "layer-not-lazy",
    hint: "`lazuli explain` says why; pull with --lazy=auto to unpack such layers",
  });
}

/** What stargz-snapshotter, SOCI and lazuli find a layer by. */
function remoteLabels({ name, image, layer, at }: LayerStep): Labels {
  const key = "containerd.io/snapshot/cri.image-layers";
  const digests: string[] = [];
  let bytes = key.length;
  for (const { descriptor } of image.layers.slice(at)) {
    bytes += descriptor.digest.length + 1;
    if (bytes > LABEL_BYTES_MAX) break;
    digests.push(descriptor.digest);
  }
  return {
    "containerd.io/snapshot.ref": layer.chainId,
    "containerd.io/snapshot/cri.image-ref": name,
    "containerd.io/snapshot/cri.manifest-digest": image.digest,
    "containerd.io/snapshot/cri.layer-digest": layer.descriptor.digest,
    [key]: digests.join(","),
  };
}

interface SnapshotPlace extends Waiting {
  readonly snapshotter: string;
  readonly key: string;
}

export async function hasSnapshot(connection: Connection, place: SnapshotPlace): Promise<boolean> {
  const { snapshotter, key, signal } = place;
  try {
    await connection.read(
      { action: "look up a snapshot", subject: key, signal },
      async ({ snapshots }, options) => {
        await snapshots.stat({ snapshotter, key }, options);
      },
    );
    return true;
  } catch (thrown) {
    if (thrown instanceof LazuliError && thrown.code === "NOT_FOUND") return false;
    throw thrown;
  }
}

/** Undefined: the snapshotter has what the label `containerd.io/snapshot.ref` names. */
async function prepare(
  connection: Connection,
  request: SnapshotPlace & { readonly parent: string; readonly labels: Labels },
): Promise<readonly Mount[] | undefined> {
  const { snapshotter, key, parent, labels, signal } = request;
  try {
    const answer = await connection.call(
      { action: "prepare a snapshot", subject: key, signal },
      async ({ snapshots }, options) =>
        await snapshots.prepare({ snapshotter, key, parent, labels: { ...labels } }, options),
    );
    return answer.mounts;
  } catch (thrown) {
    if (thrown instanceof LazuliError && thrown.code === "ALREADY_EXISTS") return undefined;
    throw thrown;
  }
}

async function apply(
  connection: Connection,
  { layer, mounts, signal }: Waiting & { readonly layer: ImageLayer; readonly mounts: readonly Mount[] },
): Promise<void> {
  const { mediaType, digest, size, annotations } = layer.descriptor;
  const diff = { mediaType, digest, size: BigInt(size), annotations: { ...annotations } };
  const { applied } = await connection.call(
    { action: "unpack a layer", subject: digest, signal },
    async (services, options) => await services.diff.apply({ diff, mounts: [...mounts] }, options),
  );
  const actual = applied?.digest ?? "";
  if (actual === layer.diffId) return;
  throw dataLoss(`Cannot unpack ${digest}: want the diff id ${layer.diffId}, got ${actual}`, {
    subject: digest,
    reason: "diff-id-mismatch",
  });
}

async function commit(
  connection: Connection,
  request: SnapshotPlace & { readonly name: Digest },
): Promise<void> {
  const { snapshotter, key, name, signal } = request;
  try {
    await connection.call(
      { action: "commit a snapshot", subject: name, signal },
      async ({ snapshots }, options) => {
        await snapshots.commit({ snapshotter, key, name }, options);
      },
    );
  } catch (thrown) {
    if (!(thrown instanceof LazuliError) || thrown.code !== "ALREADY_EXISTS") throw thrown;
    // Another client has unpacked the same layer meanwhile.
    await removeSnapshot(connection, { snapshotter, key });
  }
}

/** @throws NOT_FOUND; FAILED_PRECONDITION while another one builds on it */
export async function removeSnapshot(
  connection: Connection,
  { snapshotter, key, signal }: SnapshotPlace,
): Promise<void> {
  await connection.call(
    { action: "remove a snapshot", subject: key, signal },
    async ({ snapshots }, options) => {
      await snapshots.remove({ snapshotter, key }, options);
    },
  );
}
