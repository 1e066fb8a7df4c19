import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";
import { pack } from "tar-stream";
import { type Digest, sha256 } from "../../src/bytes/index.js";

export interface SampleFile {
  readonly name: string;
  readonly content: Buffer;
}

export interface SampleLayer {
  readonly blob: Buffer;
  readonly tocDigest: Digest;
  readonly files: readonly SampleFile[];
  /** Where the bytes of the prefetch range end; undefined without a landmark. */
  readonly landmark: number | undefined;
}

interface TocEntry {
  readonly name: string;
  readonly type: string;
  readonly [field: string]: unknown;
}

/** Bytes of a file in one gzip member. */
const CHUNK_BYTES = 64 * 1024;

/**
 * Writes a small eStargz layer: folders for all names, then the files in order, each chunk in a gzip member of its own.
 * @param options.prefetched So many files stand before `.prefetch.landmark`; 0: `.no.prefetch.landmark` comes first
 */
export async function buildEstargz(
  files: readonly SampleFile[],
  options: { readonly prefetched?: number } = {},
): Promise<SampleLayer> {
  const writer = new BlobWriter();
  const prefetched = options.prefetched ?? 0;
  let landmark: number | undefined;
  if (prefetched === 0) await writer.file(".no.prefetch.landmark", Buffer.of(0xf));
  for (const name of foldersOf(files)) await writer.folder(name);
  for (const [index, file] of files.entries()) {
    await writer.file(file.name, file.content);
    if (index + 1 === prefetched) landmark = await writer.file(".prefetch.landmark", Buffer.of(0xf));
  }
  return { ...(await writer.end()), files, landmark };
}

/** Files of bytes that do not compress, the same for the same seed. */
export function sampleFiles(seed: string, sizes: readonly number[]): SampleFile[] {
  return sizes.map((size, index) => {
    const pieces: Buffer[] = [];
    for (let length = 0; length < size; length += 32) {
      pieces.push(createHash("sha256").update(`${seed}/${index}/${length}`).digest());
    }
    const name = `folder-${index % 3}/file-${String(index).padStart(3, "0")}`;
    return { name, content: Buffer.concat(pieces).subarray(0, size) };
  });
}

class BlobWriter {
  readonly #pieces: Buffer[] = [];
  readonly #entries: TocEntry[] = [];
  #length = 0;

  async folder(name: string): Promise<void> {
    this.#member(await tarOf({ name: `${name}/`, type: "directory", mode: 0o755 }));
    this.#entries.push({ name: `${name}/`, type: "dir", mode: 0o755, ...common });
  }

  /** Returns where the content begins in the blob. */
  async file(name: string, content: Buffer): Promise<number> {
    const header = await tarOf({ name, type: "file", mode: 0o644, size: content.length });
    this.#member(header);
    const start = this.#length;
    for (let at = 0; at < Math.max(1, content.length); at += CHUNK_BYTES) {
      const chunk = content.subarray(at, at + CHUNK_BYTES);
      const isLast = at + CHUNK_BYTES >= content.length;
      const padding = isLast ? Buffer.alloc((512 - (content.length % 512)) % 512) : Buffer.alloc(0);
      const first = at === 0;
      this.#entries.push({
        name,
        type: first ? "reg" : "chunk",
        ...(first ? { size: content.length, mode: 0o644, digest: sha256(content), ...common } : {}),
        offset: this.#length,
        chunkOffset: at,
        chunkSize: content.length <= CHUNK_BYTES ? 0 : chunk.length,
        chunkDigest: sha256(chunk),
      });
      this.#member(Buffer.concat([chunk, padding]));
    }
    return start;
  }

  async end(): Promise<{ readonly blob: Buffer; readonly tocDigest: Digest }> {
    this.#member(Buffer.alloc(1024));
    const toc = Buffer.from(JSON.stringify({ version: 1, entries: this.#entries }));
    const tocOffset = this.#length;
    const header = await tarOf({ name: "stargz.index.json", type: "file", mode: 0o644, size: toc.length });
    const padding = Buffer.alloc(((512 - (toc.length % 512)) % 512) + 1024);
    this.#member(Buffer.concat([header, toc, padding]));
    this.#pieces.push(footer(tocOffset));
    return { blob: Buffer.concat(this.#pieces), tocDigest: sha256(toc) };
  }

  #member(bytes: Buffer): void {
    const member = gzipSync(bytes);
    this.#pieces.push(member);
    this.#length += member.length;
  }
}

const common = { uid: 0, gid: 0, modtime: "2024-01-02T03:04:05Z" } as const;

/** Only the header block: tar-stream pads and ends the archive, which is cut off here. */
async function tarOf(entry: {
  readonly name: string;
  readonly type: "file" | "directory";
  readonly mode: number;
  readonly size?: number;
}): Promise<Buffer> {
  const archive = pack();
  const pieces: Buffer[] = [];
  archive.on("data", (piece) => pieces.push(piece as Buffer));
  const written = archive.entry({ ...entry, mtime: new Date(common.modtime) });
  written?.on("error", () => undefined);
  archive.resume();
  await new Promise((resolve) => setImmediate(resolve));
  archive.destroy();
  return Buffer.concat(pieces).subarray(0, 512);
}

function foldersOf(files: readonly SampleFile[]): string[] {
  const names = files.filter((file) => file.name.includes("/")).map((file) => file.name.split("/")[0]!);
  return [...new Set(names)];
}

/** 51 bytes: an empty gzip member whose extra field SG names the TOC's offset (eStargz specification). */
function footer(tocOffset: number): Buffer {
  const extra = Buffer.from(`${tocOffset.toString(16).padStart(16, "0")}STARGZ`, "latin1");
  return Buffer.concat([
    Buffer.from([0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff]),
    Buffer.from([26, 0, 0x53, 0x47, 22, 0]),
    extra,
    Buffer.from([1, 0, 0, 0xff, 0xff]),
    Buffer.alloc(8),
  ]);
}
