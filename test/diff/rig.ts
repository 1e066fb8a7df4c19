import { createHash } from "node:crypto";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseDigest } from "../../src/bytes/index.js";
import { createLayerDiffer, type LayerDescriptor, type LayerDiffer } from "../../src/diff/index.js";
import { loadBinding } from "../../src/fuse/index.js";
import type { MountSpec } from "../../src/mounts/index.js";
import type { StreamProcessor } from "../../src/processors/index.js";
import { unmountBelow } from "../../testing/rig/containerd.js";

export const plainLayer = "application/vnd.oci.image.layer.v1.tar";
export const signal = new AbortController().signal;

export interface DiffRig extends AsyncDisposable {
  readonly differ: LayerDiffer;
  /** A new empty folder. */
  folder(name: string): Promise<string>;
}

export async function openDiffRig(
  options: { readonly processors?: readonly StreamProcessor[]; readonly now?: () => bigint } = {},
): Promise<DiffRig> {
  const root = await mkdtemp(join(tmpdir(), "lazuli-diff-"));
  const differ = await createLayerDiffer({
    binding: loadBinding(),
    processors: options.processors ?? [],
    scratch: join(root, "scratch"),
    now: options.now ?? (() => BigInt(Date.now()) * 1_000_000n),
  });
  return {
    differ,
    folder: async (name) => {
      const path = join(root, name);
      await mkdir(path);
      return path;
    },
    [Symbol.asyncDispose]: async () => {
      await unmountBelow(root);
      await rm(root, { recursive: true, force: true });
    },
  };
}

/** A blob in memory, and its descriptor. */
export function blobOf(bytes: Buffer, mediaType = plainLayer) {
  const digest = parseDigest(`sha256:${createHash("sha256").update(bytes).digest("hex")}`);
  const layer: LayerDescriptor = { mediaType, digest, size: bytes.length, annotations: {} };
  const blob = {
    size: bytes.length,
    read: async (offset: number, length: number) => bytes.subarray(offset, offset + length),
  };
  return { layer, blob };
}

export function bindOf(source: string): MountSpec {
  return { type: "bind", source, target: "", options: ["rbind", "rw"] };
}

/** An overlay that need not be mounted: its upper folder is what counts. */
export function overlayOf(places: { readonly upper: string; readonly lowers: readonly string[] }): MountSpec {
  const { upper, lowers } = places;
  return {
    type: "overlay",
    source: "overlay",
    target: "",
    options: ["index=off", `workdir=${upper}-work`, `upperdir=${upper}`, `lowerdir=${lowers.join(":")}`],
  };
}
