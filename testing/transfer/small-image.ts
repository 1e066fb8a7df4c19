import { mkdtemp, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { type Digest, sha256 } from "../../src/bytes/index.js";
import { mediaTypes } from "../../src/oci/index.js";
import { type TarWriteEntry, TarWriter } from "../../src/tar/index.js";
import { layoutTarget } from "../../src/transfer/index.js";
import { command } from "../rig/command.js";

export interface SmallLayer {
  readonly tar: Buffer;
  /** gzip unless given. */
  readonly mediaType?: string;
  /** The blob, where it is no gzip of the tar. */
  readonly blob?: Buffer;
  readonly annotations?: Readonly<Record<string, string>>;
  /** What the config says in place of the truth. */
  readonly diffId?: Digest;
  /** The target does not get the blob. */
  readonly isElsewhere?: boolean;
}

export interface MadeManifest {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
}

/** Pushes documents and small images into an OCI layout. */
export class SmallImages {
  readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
  }

  async blob(bytes: Buffer): Promise<{ digest: Digest; size: number }> {
    const target = await layoutTarget(this.folder, undefined);
    const digest = sha256(bytes);
    const open = async function* () {
      yield bytes;
    };
    await target.pushBlob({ digest, size: bytes.length, open });
    return { digest, size: bytes.length };
  }

  async json(mediaType: string, value: object): Promise<MadeManifest> {
    return { mediaType, ...(await this.blob(Buffer.from(JSON.stringify(value)))) };
  }

  /** An image's manifest, with Docker's media types where `isDocker`. */
  async image(
    layers: readonly SmallLayer[],
    options: { readonly architecture?: string; readonly isDocker?: boolean } = {},
  ): Promise<MadeManifest> {
    const { architecture = "amd64", isDocker = false } = options;
    const descriptors = [];
    for (const layer of layers) {
      const { tar, annotations, blob = gzipSync(tar), isElsewhere = false } = layer;
      const gzipType = isDocker ? mediaTypes.dockerLayerGzip : mediaTypes.ociLayerGzip;
      const { mediaType = gzipType } = layer;
      const pushed = isElsewhere ? { digest: sha256(blob), size: blob.length } : await this.blob(blob);
      descriptors.push({ mediaType, ...pushed, ...(annotations === undefined ? {} : { annotations }) });
    }
    const config = await this.json(isDocker ? mediaTypes.dockerConfig : mediaTypes.ociConfig, {
      architecture,
      os: "linux",
      config: { Cmd: ["/x"] },
      rootfs: { type: "layers", diff_ids: layers.map(({ tar, diffId }) => diffId ?? sha256(tar)) },
      history: layers.map((_, index) => ({ created_by: `step ${index}` })),
    });
    const mediaType = isDocker ? mediaTypes.dockerManifest : mediaTypes.ociManifest;
    return await this.json(mediaType, { schemaVersion: 2, mediaType, config, layers: descriptors });
  }

  async name(name: string, root: MadeManifest): Promise<string> {
    const target = await layoutTarget(this.folder, name);
    await target.name({ ...root, annotations: {}, platform: undefined });
    return `oci:${this.folder}:${name}`;
  }
}

/** A tar of plain files. */
export function tarOf(files: Readonly<Record<string, string | Buffer>>): Buffer {
  const writer = new TarWriter();
  const parts = Object.entries(files).flatMap(([name, content]) => {
    const bytes = Buffer.from(content);
    const header = writer.header({ ...plainFile, name: name as TarWriteEntry["name"], size: bytes.length });
    writer.content(bytes.length);
    return [header, bytes, writer.padding()];
  });
  return Buffer.concat([...parts, writer.end()]);
}

const plainFile = {
  kind: "file",
  mode: 0o644,
  uid: 0,
  gid: 0,
  mtime: { seconds: 1n, nanoseconds: 0 },
} as const;

/** What GNU tar makes of a script's files. */
export async function gnuTar(below: string, script: string, words: readonly string[] = []): Promise<Buffer> {
  const tree = await mkdtemp(join(below, "tree-"));
  try {
    const made = join(below, "made.tar");
    await command("bash", ["-euc", script], { cwd: tree });
    await command("tar", ["--sort=name", ...words, "-C", tree, "-cf", made, "."]);
    return await readFile(made);
  } finally {
    await rm(tree, { recursive: true, force: true });
  }
}
