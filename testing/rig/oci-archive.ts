import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { command } from "./command.js";

export interface ImageConfig {
  readonly Cmd?: readonly string[];
  readonly Env?: readonly string[];
  readonly WorkingDir?: string;
  readonly Labels?: Readonly<Record<string, string>>;
}

/** Packs layer tars into an OCI archive that `ctr images import` takes, with gzip layers. */
export async function writeOciArchive(options: {
  readonly layers: readonly string[];
  readonly config: ImageConfig;
  readonly name: string;
  readonly archive: string;
  readonly gzipLevel?: number;
}): Promise<void> {
  const layout = `${options.archive}.layout`;
  const blobs = join(layout, "blobs", "sha256");
  await rm(layout, { recursive: true, force: true });
  await mkdir(blobs, { recursive: true });
  const layers = [];
  const diffIds = [];
  for (const tar of options.layers) {
    diffIds.push(`sha256:${await hashOf(tar)}`);
    const packed = join(layout, "layer");
    await pipeline(
      createReadStream(tar),
      createGzip({ level: options.gzipLevel ?? 6 }),
      createWriteStream(packed),
    );
    const digest = await hashOf(packed);
    const size = (await stat(packed)).size;
    await rename(packed, join(blobs, digest));
    layers.push({
      mediaType: "application/vnd.oci.image.layer.v1.tar+gzip",
      digest: `sha256:${digest}`,
      size,
    });
  }
  const writeBlob = async (mediaType: string, value: unknown): Promise<object> => {
    const bytes = Buffer.from(JSON.stringify(value));
    const digest = createHash("sha256").update(bytes).digest("hex");
    await writeFile(join(blobs, digest), bytes);
    return { mediaType, digest: `sha256:${digest}`, size: bytes.length };
  };
  const config = await writeBlob("application/vnd.oci.image.config.v1+json", {
    architecture: "amd64",
    os: "linux",
    config: options.config,
    rootfs: { type: "layers", diff_ids: diffIds },
  });
  const manifestType = "application/vnd.oci.image.manifest.v1+json";
  const manifest = await writeBlob(manifestType, {
    schemaVersion: 2,
    mediaType: manifestType,
    config,
    layers,
  });
  const annotations = {
    "io.containerd.image.name": options.name,
    "org.opencontainers.image.ref.name": "latest",
  };
  await writeFile(
    join(layout, "index.json"),
    JSON.stringify({ schemaVersion: 2, manifests: [{ ...manifest, annotations }] }),
  );
  await writeFile(join(layout, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
  await command("tar", ["-C", layout, "-cf", options.archive, "oci-layout", "index.json", "blobs"]);
  await rm(layout, { recursive: true });
}

async function hashOf(path: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path), hash);
  return hash.digest("hex");
}
