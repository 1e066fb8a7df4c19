import { invalidArgument } from "../errors/index.js";
import { TOC_DIGEST_ANNOTATION } from "../estargz/index.js";
import { TARGET_LABEL } from "../metadata/index.js";

/** Labels of containerd and of stargz-snapshotter that come with a Prepare. */
export const labelNames = {
  target: TARGET_LABEL,
  remote: "containerd.io/snapshot/remote",
  tocDigest: TOC_DIGEST_ANNOTATION,
  diffId: "containerd.io/snapshot/diff-id",
  /** Where a layer belongs that is prepared without its parent. */
  parentChain: "containerd.io/snapshot/parent-chain-id",
  manifest: "containerd.io/snapshot/cri.manifest-digest",
  reference: ["containerd.io/snapshot/cri.image-ref", "containerd.io/snapshot/remote/stargz.reference"],
  digest: ["containerd.io/snapshot/cri.layer-digest", "containerd.io/snapshot/remote/stargz.digest"],
  layers: ["containerd.io/snapshot/cri.image-layers", "containerd.io/snapshot/remote/stargz.layers"],
} as const;

export const REMOTE_LABEL_VALUE = "remote snapshot";

/** Bytes of a label's key and value together (containerd pkg/labels). */
const LABEL_BYTES_MAX = 4096;

/** @throws INVALID_ARGUMENT when a label is too long */
export function checkLabels(labels: Readonly<Record<string, string>>): void {
  for (const [key, value] of Object.entries(labels)) {
    const bytes = Buffer.byteLength(key) + Buffer.byteLength(value);
    if (bytes <= LABEL_BYTES_MAX) continue;
    throw invalidArgument(
      `label key and value length (${bytes} bytes) greater than maximum size (${LABEL_BYTES_MAX} bytes), key: ${key.slice(0, 64)}`,
      { reason: "label-too-long" },
    );
  }
}

export function firstLabel(
  labels: Readonly<Record<string, string>>,
  names: readonly string[],
): string | undefined {
  for (const name of names) {
    const value = labels[name];
    if (value !== undefined && value !== "") return value;
  }
  return undefined;
}
