import { createHash } from "node:crypto";
import { type Digest, parseDigest } from "../bytes/index.js";
import { invalidArgument } from "../errors/index.js";
import type { Descriptor, Platform } from "./descriptor.js";
import { asArray, asObject, malformed, optionalText, own, parseDocument, refuseOtherCase } from "./fields.js";
import { LAYERS_MAX, type Manifest } from "./manifest.js";

/** What the engine needs of an image's config. */
export interface ImageConfig {
  readonly platform: Platform;
  /** Digests of the uncompressed layers, bottom first. */
  readonly diffIds: readonly Digest[];
}

/** One layer with both of its names. */
export interface ImageLayer {
  readonly descriptor: Descriptor;
  readonly diffId: Digest;
  /** Names the state after this layer. */
  readonly chainId: Digest;
}

export const CONFIG_BYTES_MAX = 16 * 1024 * 1024;

const knownKeys = ["architecture", "os", "variant", "rootfs", "config", "history"];

/** @throws INVALID_ARGUMENT with reason `image-config-invalid` or one of parseJson(), RESOURCE_EXHAUSTED */
export function parseImageConfig(bytes: Uint8Array): ImageConfig {
  const what = "image config";
  const fields = parseDocument(bytes, { what, bytesMax: CONFIG_BYTES_MAX, knownKeys });
  const rootfs = asObject(own(fields, "rootfs"), what, "rootfs");
  refuseOtherCase(rootfs, ["type", "diff_ids"], what);
  if (own(rootfs, "type") !== "layers") throw malformed(what, "want rootfs.type layers");
  const diffIds = asArray({
    value: own(rootfs, "diff_ids") ?? [],
    what,
    name: "rootfs.diff_ids",
    max: LAYERS_MAX,
  });
  const variant = optionalText(fields, "variant", what);
  return {
    platform: {
      os: optionalText(fields, "os", what) ?? "",
      architecture: optionalText(fields, "architecture", what) ?? "",
      ...(variant === undefined || variant === "" ? {} : { variant }),
    },
    diffIds: diffIds.map(parseDigest),
  };
}

/** The chain id after each layer, bottom first (image-spec, config.md, "Layer ChainID"). */
export function chainIds(diffIds: readonly Digest[]): readonly Digest[] {
  const chain: Digest[] = [];
  for (const diffId of diffIds) {
    const parent = chain.at(-1);
    if (parent === undefined) chain.push(diffId);
    else {
      const hash = createHash("sha256").update(`${parent} ${diffId}`).digest("hex");
      chain.push(`sha256:${hash}` as Digest);
    }
  }
  return chain;
}

/** The chain id of a whole stack; undefined for none. */
export function chainId(diffIds: readonly Digest[]): Digest | undefined {
  return chainIds(diffIds).at(-1);
}

/** @throws INVALID_ARGUMENT with reason `diff-ids-mismatch` when manifest and config disagree about the count */
export function imageLayers(manifest: Manifest, config: ImageConfig): readonly ImageLayer[] {
  const { layers } = manifest;
  if (layers.length !== config.diffIds.length) {
    throw invalidArgument(
      `Cannot use image: the manifest has ${layers.length} layers, the config ${config.diffIds.length} diff ids`,
      { subject: manifest.config.digest, reason: "diff-ids-mismatch" },
    );
  }
  const chain = chainIds(config.diffIds);
  return layers.map((descriptor, index) => ({
    descriptor,
    diffId: config.diffIds[index]!,
    chainId: chain[index]!,
  }));
}
