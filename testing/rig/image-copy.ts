import { type Digest, sha256 } from "../../src/bytes/index.js";
import type { RegistryServer } from "../registry/index.js";

const manifestType = "application/vnd.oci.image.manifest.v1+json";

interface Descriptor {
  readonly digest: Digest;
  readonly annotations?: Readonly<Record<string, string>>;
}

interface Manifest {
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
}

/** An image in memory: its manifest, its config and its layers. */
export interface ImageCopy {
  readonly manifest: Buffer;
  readonly blobs: readonly Buffer[];
  /** Of the layers, from the bottom up. */
  readonly layers: readonly Descriptor[];
}

/** Reads an image for one platform from a registry that speaks plain HTTP. Nothing is verified here: the clients do. */
export async function readImage(options: {
  readonly host: string;
  readonly repository: string;
  readonly tag: string;
}): Promise<ImageCopy> {
  const base = `http://${options.host}/v2/${options.repository}`;
  const read = async (path: string): Promise<Buffer> => {
    const response = await fetch(`${base}/${path}`, { headers: { accept: manifestType } });
    if (!response.ok) throw new Error(`${base}/${path} answered ${response.status}`);
    return Buffer.from(await response.arrayBuffer());
  };
  const manifest = await read(`manifests/${options.tag}`);
  const { config, layers } = JSON.parse(manifest.toString()) as Manifest;
  const blobs: Buffer[] = [];
  for (const { digest } of [config, ...layers]) blobs.push(await read(`blobs/${digest}`));
  return { manifest, blobs, layers };
}

/** The same image under another manifest, in which one layer is described otherwise. */
export function withLayerAnnotation(
  image: ImageCopy,
  change: { readonly layer: number; readonly name: string; readonly value: string },
): ImageCopy {
  const manifest = JSON.parse(image.manifest.toString()) as Manifest;
  const layers = manifest.layers.map((layer, index) =>
    index === change.layer
      ? { ...layer, annotations: { ...layer.annotations, [change.name]: change.value } }
      : layer,
  );
  return { ...image, manifest: Buffer.from(JSON.stringify({ ...manifest, layers })), layers };
}

export function publishCopy(
  server: RegistryServer,
  image: ImageCopy,
  name: { readonly repository: string; readonly tag: string },
): void {
  for (const blob of image.blobs) server.addBlob(blob);
  server.addManifest({ ...name, bytes: image.manifest, mediaType: manifestType });
}

/** A digest that nothing in a test has. */
export const foreignDigest: Digest = sha256(Buffer.from("what no test image holds"));
