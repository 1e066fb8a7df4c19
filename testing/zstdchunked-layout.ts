import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { sha256 } from "../src/bytes/index.js";

interface LayerDescriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly annotations?: Readonly<Record<string, string>>;
}

const types = {
  config: "application/vnd.oci.image.config.v1+json",
  manifest: "application/vnd.oci.image.manifest.v1+json",
} as const;

/** Writes an OCI layout with one image of one layer, tagged `latest` and, for containerd, with `name`. */
export async function writeLayout(options: {
  readonly folder: string;
  readonly layer: Buffer;
  readonly mediaType: string;
  readonly annotations?: Readonly<Record<string, string>>;
  /** Digest of the uncompressed layer. */
  readonly diffId: string;
  readonly name: string;
}): Promise<void> {
  const { folder, layer, mediaType, annotations = {}, diffId, name } = options;
  await mkdir(join(folder, "blobs", "sha256"), { recursive: true });
  const write = async (bytes: Buffer, type: string): Promise<LayerDescriptor> => {
    const digest = sha256(bytes);
    await writeFile(join(folder, "blobs", "sha256", digest.slice(7)), bytes);
    return { mediaType: type, digest, size: bytes.length };
  };
  const json = async (value: object, type: string): Promise<LayerDescriptor> =>
    await write(Buffer.from(JSON.stringify(value)), type);
  const config = await json(
    { architecture: "amd64", os: "linux", config: {}, rootfs: { type: "layers", diff_ids: [diffId] } },
    types.config,
  );
  const layers = [{ ...(await write(layer, mediaType)), annotations }];
  const manifest = await json(
    { schemaVersion: 2, mediaType: types.manifest, config, layers },
    types.manifest,
  );
  const names = { "org.opencontainers.image.ref.name": "latest", "io.containerd.image.name": name };
  const manifests = [{ ...manifest, annotations: names }];
  await writeFile(join(folder, "index.json"), JSON.stringify({ schemaVersion: 2, manifests }));
  await writeFile(join(folder, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
}

/** The only layer of the only image of an OCI layout. */
export async function readLayout(
  folder: string,
): Promise<{ blob: Buffer; descriptor: LayerDescriptor; annotations: Readonly<Record<string, string>> }> {
  const read = async (digest: string): Promise<Buffer> =>
    await readFile(join(folder, "blobs", "sha256", digest.slice(7)));
  const index = JSON.parse(await readFile(join(folder, "index.json"), "utf8"));
  const manifest = JSON.parse((await read(index.manifests[0].digest)).toString());
  const descriptor: LayerDescriptor = manifest.layers[0];
  return { blob: await read(descriptor.digest), descriptor, annotations: descriptor.annotations ?? {} };
}
