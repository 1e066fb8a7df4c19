import type { Digest } from "../bytes/index.js";
import type { BlobReader, ContentStore } from "../content/index.js";
import { failedPrecondition, LazuliError } from "../errors/index.js";
import { log } from "../observe/index.js";
import type { Descriptor, ImageLayer } from "../oci/index.js";
import { fallbackChannel, type Mount, type Snapshotter } from "../snapshotters/index.js";
import { setLabels } from "./stored-image.js";
import { hasCode, inContext } from "./transfer-errors.js";
import { uniquePart } from "./transfer-lease.js";

/** Unpacks a layer onto mounts (src/diff). */
export interface LayerApplier {
  /** @returns the descriptor of the uncompressed archive */
  apply(request: {
    readonly layer: Descriptor;
    readonly blob: BlobReader;
    readonly mounts: readonly Mount[];
    readonly syncFs: boolean;
    readonly signal: AbortSignal;
  }): Promise<Pick<Descriptor, "digest">>;
}

export interface UnpackLayer {
  readonly snapshotter: Snapshotter;
  readonly snapshotterName: string;
  readonly store: ContentStore;
  readonly applier: LayerApplier;
  readonly layer: ImageLayer;
  /** Chain id below; "" for none. */
  readonly parent: string;
  /** What the snapshotter is told of the layer; with the target it may find the layer itself. */
  readonly labels: Readonly<Record<string, string>>;
  /** A layer that the snapshotter does not find itself is refused. */
  readonly mustBeLazy: boolean;
  /** Brings the blob into the store. */
  readonly fetch: () => Promise<void>;
  readonly extracting: () => void;
  readonly now: () => bigint;
  readonly signal: AbortSignal;
}

/** Snapshots that are there and gone again are asked for this many times, as containerd does. */
const TRIES_MAX = 3;

/** How a layer came to be there. */
export type LayerState = "present" | "extracted";

/**
 * Makes the snapshot of one layer: finds it, lets the snapshotter have it lazily, or downloads and unpacks it.
 * @throws FAILED_PRECONDITION `layer-not-lazy`, `diff-id-mismatch`; what the parts throw. No snapshot is left then
 */
export async function unpackLayer(unpack: UnpackLayer): Promise<LayerState> {
  const { snapshotter, layer, store, signal } = unpack;
  if (await isThere(snapshotter, layer.chainId)) return "present";
  const prepared = await prepare(unpack);
  if (prepared === undefined) return "present";
  const { key, mounts } = prepared;
  try {
    if (unpack.mustBeLazy) throw notLazy(layer, prepared.reason);
    await unpack.fetch();
    signal.throwIfAborted();
    unpack.extracting();
    await extract(unpack, { key, mounts });
    signal.throwIfAborted();
    await snapshotter.commit({ name: layer.chainId, key, labels: unpack.labels, parent: "", signal });
  } catch (thrown) {
    await takeBack(snapshotter, key);
    // Somebody else has unpacked the same layer meanwhile.
    if (hasCode(thrown, "ALREADY_EXISTS")) return "present";
    throw thrown;
  }
  await setLabels(store, layer.descriptor.digest, { "containerd.io/uncompressed": layer.diffId });
  return "extracted";
}

interface Prepared {
  readonly key: string;
  readonly mounts: readonly Mount[];
  /** Why the layer is not lazy. */
  readonly reason: string;
}

/** @returns undefined when the layer's own snapshot is there by now */
async function prepare(unpack: UnpackLayer): Promise<Prepared | undefined> {
  const { snapshotter, layer, parent, labels, now, signal } = unpack;
  for (let tries = 1; ; tries += 1) {
    const key = `extract-${uniquePart(now())} ${layer.chainId}`;
    let reason = "snapshotter-not-lazy";
    using _reasons = fallbackChannel.subscribe((facts) => {
      if (facts.key === key || facts.key.endsWith(`/${key}`)) reason = facts.reason;
    });
    try {
      return { key, mounts: await snapshotter.prepare({ key, parent, labels, signal }), reason };
    } catch (thrown) {
      signal.throwIfAborted();
      if (!hasCode(thrown, "ALREADY_EXISTS")) {
        throw inContext(`failed to prepare extraction snapshot ${JSON.stringify(key)}`, thrown);
      }
      if (await isThere(snapshotter, layer.chainId)) return undefined;
      if (tries >= TRIES_MAX) throw inContext("unable to prepare extraction snapshot", thrown);
    }
  }
}

async function extract(unpack: UnpackLayer, at: { key: string; mounts: readonly Mount[] }): Promise<void> {
  const { store, layer, applier, snapshotterName, signal } = unpack;
  const { descriptor, diffId } = layer;
  let actual: Digest;
  try {
    await using blob = await store.open(descriptor.digest, { signal });
    const { mounts } = at;
    const request = { layer: descriptor, blob, mounts, syncFs: false, signal };
    actual = (await applier.apply(request)).digest;
  } catch (thrown) {
    signal.throwIfAborted();
    const { mediaType, digest } = descriptor;
    const place = `${snapshotterName} as ${JSON.stringify(at.key)}`;
    throw inContext(`failed to extract layer (${mediaType} ${digest}) to ${place}`, thrown);
  }
  if (actual === diffId) return;
  throw failedPrecondition(
    `wrong diff id "${actual}" calculated on extraction "${diffId}", desc "${descriptor.digest}"`,
    { subject: descriptor.digest, reason: "diff-id-mismatch" },
  );
}

/** Whether there is a snapshot of the name. */
export async function isThere(snapshotter: Snapshotter, name: string): Promise<boolean> {
  try {
    await snapshotter.stat(name);
    return true;
  } catch (thrown) {
    if (hasCode(thrown, "NOT_FOUND")) return false;
    throw inContext(`failed to stat snapshot ${name}`, thrown);
  }
}

async function takeBack(snapshotter: Snapshotter, key: string): Promise<void> {
  try {
    await snapshotter.remove(key);
  } catch (thrown) {
    if (hasCode(thrown, "NOT_FOUND")) return;
    // It goes with the lease.
    log.warn("Cannot remove the snapshot of a layer that was not unpacked", {
      key,
      error: LazuliError.from(thrown).message,
    });
  }
}

function notLazy({ descriptor }: ImageLayer, reason: string): LazuliError {
  return failedPrecondition(`Cannot pull lazily: layer ${descriptor.digest} can't be lazy: ${reason}`, {
    subject: descriptor.digest,
    reason: "layer-not-lazy",
    hint: 'Set [transfer] lazy to "auto", or convert the image with `lazuli convert`',
  });
}
