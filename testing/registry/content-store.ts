import { open, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { type Digest, sha256 } from "../../src/bytes/index.js";

/** Bytes in memory or in a file. */
export interface Content {
  readonly size: number;
  slice(start: number, end: number): Promise<Buffer>;
}

export function contentOf(bytes: Buffer): Content {
  return { size: bytes.length, slice: async (start, end) => bytes.subarray(start, end) };
}

async function contentOfFile(path: string): Promise<Content> {
  const { size } = await stat(path);
  return {
    size,
    slice: async (start, end) => {
      await using file = await open(path);
      const buffer = Buffer.alloc(Math.max(0, end - start));
      const { bytesRead } = await file.read(buffer, 0, buffer.length, start);
      return buffer.subarray(0, bytesRead);
    },
  };
}

export interface StoredManifest {
  readonly bytes: Buffer;
  readonly mediaType: string;
  readonly digest: Digest;
}

/** What the server serves; blobs are in every repository. */
export class ContentStore {
  readonly #blobs = new Map<string, Content>();
  /** By `<repository> <tag or digest>`. */
  readonly #manifests = new Map<string, StoredManifest>();

  addBlob(bytes: Buffer): Digest {
    const digest = sha256(bytes);
    this.#blobs.set(digest, contentOf(bytes));
    return digest;
  }

  addManifest(options: { repository: string; tag?: string; bytes: Buffer; mediaType: string }): Digest {
    const { repository, tag, bytes, mediaType } = options;
    const manifest = { bytes, mediaType, digest: sha256(bytes) };
    this.#manifests.set(`${repository} ${manifest.digest}`, manifest);
    if (tag !== undefined) this.#manifests.set(`${repository} ${tag}`, manifest);
    return manifest.digest;
  }

  /** Serves an OCI image layout: its blobs from the folder, the manifests that its index names. */
  async addLayout(options: { folder: string; repository: string }): Promise<void> {
    const { folder, repository } = options;
    const index = JSON.parse(await readFile(join(folder, "index.json"), "utf8")) as LayoutManifest;
    const waiting = [...(index.manifests ?? [])];
    for (let one = waiting.shift(); one !== undefined; one = waiting.shift()) {
      const path = join(folder, "blobs", one.digest.replace(":", "/"));
      const bytes = await readFile(path);
      const tag = one.annotations?.["org.opencontainers.image.ref.name"];
      this.addManifest({
        repository,
        bytes,
        mediaType: one.mediaType,
        ...(tag === undefined ? {} : { tag }),
      });
      const manifest = JSON.parse(bytes.toString("utf8")) as LayoutManifest;
      waiting.push(...(manifest.manifests ?? []));
      for (const blob of [manifest.config, ...(manifest.layers ?? [])]) {
        if (blob === undefined) continue;
        this.#blobs.set(
          blob.digest,
          await contentOfFile(join(folder, "blobs", blob.digest.replace(":", "/"))),
        );
      }
    }
  }

  blob(digest: string): Content | undefined {
    return this.#blobs.get(digest);
  }

  manifest(repository: string, reference: string): StoredManifest | undefined {
    return this.#manifests.get(`${repository} ${reference}`);
  }
}

interface LayoutDescriptor {
  readonly digest: string;
  readonly mediaType: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

interface LayoutManifest {
  readonly manifests?: readonly LayoutDescriptor[];
  readonly config?: LayoutDescriptor;
  readonly layers?: readonly LayoutDescriptor[];
}
