import type { KeyedQueue } from "../async/index.js";
import type { ContentStore } from "../content/index.js";
import { invalidArgument } from "../errors/index.js";
import { log } from "../observe/index.js";
import {
  CONFIG_BYTES_MAX,
  type Descriptor,
  type ImageLayer,
  imageLayers,
  MANIFEST_BYTES_MAX,
  type Platform,
  parseImageConfig,
  parseManifest,
  runsPlatform,
} from "../oci/index.js";
import type { Snapshotter } from "../snapshotters/index.js";
import { isLayer, readStored, setLabels } from "./stored-image.js";
import type { TransferCall, TransferParts, UnpackTarget, UnpackWish } from "./transfer-contract.js";
import type { Limit } from "./transfer-limits.js";
import type { TransferProgress } from "./transfer-progress.js";
import { isThere, unpackLayer } from "./unpack-layer.js";

type Parts = Pick<TransferParts, "targets" | "unpackPlatforms" | "lazy" | "mayBeLazy" | "applier" | "now">;

export interface UnpackImage {
  readonly parts: Parts;
  readonly call: TransferCall & { readonly lease: string };
  readonly store: ContentStore;
  readonly wishes: readonly UnpackWish[];
  readonly manifest: Descriptor;
  /** Where the layers can be had without the client; undefined: they can't be lazy. */
  readonly reference: string | undefined;
  /** Brings a layer into the store; safe to call twice. */
  readonly fetch: (layer: Descriptor) => Promise<void>;
  readonly progress: TransferProgress;
  readonly unpacks: Limit;
  /** One layer is unpacked by one transfer at a time. */
  readonly turns: KeyedQueue<string>;
}

/** Bytes of a label's key and value together (containerd pkg/labels). */
const LABEL_BYTES_MAX = 4096;
const LABEL_PREFIX = "containerd.io/snapshot/";
const LAYERS_LABEL = "containerd.io/snapshot/cri.image-layers";

/**
 * Makes the snapshots of a manifest whose config is in the store. Layers that were not lazy are in the store
 * afterwards. @returns false when nothing of the wishes fits: then nothing was done
 */
export async function unpackImage(unpack: UnpackImage): Promise<boolean> {
  const { store, manifest, call } = unpack;
  const { signal, namespace, lease } = call;
  const document = parseManifest(
    await readStored(store, manifest.digest, { signal, bytesMax: MANIFEST_BYTES_MAX }),
  );
  if (document.layers.length === 0 || !document.layers.every(isLayer)) return false;
  const configBytes = await readStored(store, document.config.digest, { signal, bytesMax: CONFIG_BYTES_MAX });
  const config = parseImageConfig(configBytes);
  const layers = imageLayers(document, config);
  const target = chosenTarget(unpack, config.platform);
  if (target === undefined) return false;
  const snapshotter = target.snapshotter.for({ namespace, lease });
  await fetchAhead(unpack, target, await missingLayers(snapshotter, layers));
  for (const [index, layer] of layers.entries()) {
    signal.throwIfAborted();
    const parent = layers[index - 1]?.chainId ?? "";
    await unpack.turns.run(`${namespace} ${target.name} ${layer.chainId}`, async () => {
      const state = await unpackLayer({
        snapshotter,
        snapshotterName: target.name,
        store,
        applier: {
          apply: async (request) => await unpack.unpacks(() => unpack.parts.applier.apply(request)),
        },
        layer,
        parent,
        labels: layerLabels(unpack, target, { layers, index }),
        mustBeLazy: target.isLazy && unpack.parts.lazy === "always" && unpack.reference !== undefined,
        fetch: async () => await unpack.fetch(layer.descriptor),
        extracting: () => unpack.progress.extracting(layer.descriptor),
        now: unpack.parts.now,
        signal,
      });
      if (state === "extracted") unpack.progress.extracted(layer.descriptor);
    });
  }
  const top = layers.at(-1)!.chainId;
  await setLabels(store, document.config.digest, { [`containerd.io/gc.ref.snapshot.${target.name}`]: top });
  return true;
}

interface MetWish {
  readonly target: UnpackTarget;
  /** Of those that are unpacked for. */
  readonly platforms: readonly Platform[];
}

/** The wishes that can be met; another is passed over. @throws INVALID_ARGUMENT when there are wishes and none can */
export function metWishes(
  { targets, unpackPlatforms }: Pick<Parts, "targets" | "unpackPlatforms">,
  wishes: readonly UnpackWish[],
): readonly MetWish[] {
  const met = wishes.flatMap(({ platform, snapshotter }) => {
    const target = snapshotter === "" ? targets[0] : targets.find(({ name }) => name === snapshotter);
    const platforms = unpackPlatforms.filter((ours) => platform.os === "" || takesPlatform(ours, platform));
    if (target !== undefined && platforms.length > 0) return [{ target, platforms }];
    log.warn("Unpack configuration not supported, skipping", { snapshotter, os: platform.os });
    return [];
  });
  if (met.length > 0 || wishes.length === 0) return met;
  throw invalidArgument("unable to initialize unpacker: no unpack platforms defined", {
    subject: wishes[0]!.snapshotter,
    reason: "unpack-unsupported",
    hint: `There are ${targets.map(({ name }) => name).join(", ")}`,
  });
}

/** Without an architecture, all of the operating system are taken, as containerd does unless it is told otherwise. */
function takesPlatform(ours: Platform, other: Platform): boolean {
  return ours.architecture === "" ? ours.os === other.os : runsPlatform(ours, other);
}

/** Of the first wish that fits the image. */
function chosenTarget({ parts, wishes }: UnpackImage, built: Platform): UnpackTarget | undefined {
  const fitting = metWishes(parts, wishes).find(({ platforms }) =>
    platforms.some((ours) => takesPlatform(ours, built)),
  );
  return fitting?.target;
}

/** Those from the first on whose snapshot is not there. */
async function missingLayers(
  snapshotter: Snapshotter,
  layers: readonly ImageLayer[],
): Promise<readonly ImageLayer[]> {
  let present = 0;
  while (present < layers.length && (await isThere(snapshotter, layers[present]!.chainId))) present += 1;
  return layers.slice(present);
}

/** Downloads layers side by side that are going to be needed, while those below them are unpacked. */
async function fetchAhead(
  { parts, store, reference, fetch }: UnpackImage,
  target: UnpackTarget,
  layers: readonly ImageLayer[],
): Promise<void> {
  const canBeLazy = target.isLazy && reference !== undefined && parts.lazy !== "never";
  if (parts.lazy === "always" && canBeLazy) return;
  for (const { descriptor } of layers) {
    if (canBeLazy && parts.mayBeLazy(descriptor)) continue;
    // Whoever needs the layer hears of its failure.
    if (!(await has(store, descriptor))) fetch(descriptor).catch(() => undefined);
  }
}

async function has(store: ContentStore, { digest }: Descriptor): Promise<boolean> {
  return await store.info(digest).then(
    () => true,
    () => false,
  );
}

/** What containerd's clients tell a snapshotter of a layer; nothing that would make it lazy where it must not be. */
function layerLabels(
  unpack: UnpackImage,
  target: UnpackTarget,
  at: { readonly layers: readonly ImageLayer[]; readonly index: number },
): Record<string, string> {
  const { descriptor, chainId, diffId } = at.layers[at.index]!;
  const inherited = Object.fromEntries(
    Object.entries(descriptor.annotations).filter(([key]) => key.startsWith(LABEL_PREFIX)),
  );
  const below = at.layers[at.index - 1];
  const own = {
    ...inherited,
    "containerd.io/snapshot/diff-id": diffId,
    ...(below === undefined ? {} : { "containerd.io/snapshot/parent-chain-id": below.chainId }),
  };
  const { reference, manifest, parts } = unpack;
  const mayBeLazy = parts.lazy !== "never" || !target.isLazy;
  if (!mayBeLazy) return own;
  const targeted = { ...own, "containerd.io/snapshot.ref": chainId };
  if (reference === undefined || !target.isLazy) return targeted;
  return {
    ...targeted,
    ...annotationLabels(descriptor),
    "containerd.io/snapshot/cri.image-ref": reference,
    "containerd.io/snapshot/cri.manifest-digest": manifest.digest,
    "containerd.io/snapshot/cri.layer-digest": descriptor.digest,
    [LAYERS_LABEL]: listedLayers(at.layers.slice(at.index)),
  };
}

/** Annotations that tell how a layer can be read lazily; a label holds no longer ones. */
function annotationLabels({ annotations }: Descriptor): Record<string, string> {
  return Object.fromEntries(
    Object.entries(annotations).filter(
      ([key, value]) =>
        /^(containerd\.io\/snapshot\/|io\.containers\.estargz\.|io\.github\.containers\.zstd-chunked\.)/.test(
          key,
        ) && Buffer.byteLength(key) + Buffer.byteLength(value) <= LABEL_BYTES_MAX,
    ),
  );
}

/** As many as a label holds. */
function listedLayers(layers: readonly ImageLayer[]): string {
  let text = "";
  for (const { descriptor } of layers) {
    const longer = text === "" ? descriptor.digest : `${text},${descriptor.digest}`;
    if (LAYERS_LABEL.length + longer.length > LABEL_BYTES_MAX) break;
    text = longer;
  }
  return text;
}
