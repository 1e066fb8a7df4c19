import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { mediaTypes } from "../../oci/index.js";

export interface LayoutConfig {
  readonly Cmd?: readonly string[];
  readonly Env?: readonly string[];
  readonly WorkingDir?: string;
  readonly User?: string;
  readonly Labels?: Readonly<Record<string, string>>;
}

export interface WriteLayoutOptions {
  /** Paths of tars, the lowest first. */
  readonly layers: readonly string[];
  readonly config: LayoutConfig;
  /** As clients of containerd name it when they import it. */
  readonly name: string;
  /** Made anew. */
  readonly folder: string;
  readonly gzipLevel?: number;
}

/** An OCI layout (image-spec image-layout.md) of an image with gzip layers, tagged `latest`. */
export async function writeLayout(options: WriteLayoutOptions): Promise<void> {
  const { folder, gzipLevel = 6 } = options;
  const blobs = join(folder, "blobs", "sha256");
  await rm(folder, { recursive: true, force: true });
  await mkdir(blobs, { recursive: true });
  const layers = [];
  const diffIds = [];
  for (const tar of options.layers) {
    diffIds.push(`sha256:${await hashOf(tar)}`);
    const packed = join(folder, "layer");
    await pipeline(createReadStream(tar), createGzip({ level: gzipLevel }), createWriteStream(packed));
    const digest = await hashOf(packed);
    const size = (await stat(packed)).size;
    await rename(packed, join(blobs, digest));
    layers.push({ mediaType: mediaTypes.ociLayerGzip, digest: `sha256:${digest}`, size });
  }
  const writeBlob = async (mediaType: string, value: unknown): Promise<object> => {
    const bytes = Buffer.from(JSON.stringify(value));
    const digest = createHash("sha256").update(bytes).digest("hex");
    await writeFile(join(blobs, digest), bytes);
    return { mediaType, digest: `sha256:${digest}`, size: bytes.length };
  };
  const architecture = process.arch === "x64" ? "amd64" : process.arch;
  const rootfs = { type: "layers", diff_ids: diffIds };
  const config = await writeBlob(mediaTypes.ociConfig, {
    architecture,
    os: "linux",
    config: options.config,
    rootfs,
  });
  const mediaType = mediaTypes.ociManifest;
  const manifest = await writeBlob(mediaType, { schemaVersion: 2, mediaType, config, layers });
  const annotations = {
    "io.containerd.image.name": options.name,
    "org.opencontainers.image.ref.name": "latest",
  };
  await writeFile(
    join(folder, "index.json"),
    JSON.stringify({ schemaVersion: 2, manifests: [{ ...manifest, annotations }] }),
  );
  await writeFile(join(folder, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
}

async function hashOf(path: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path), hash);
  return hash.digest("hex");
}
