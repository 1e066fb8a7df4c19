import type { Stats } from "node:fs";
import { mkdir, mkdtemp, open, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { bytesOfText, type Digest, textOfBytes } from "../bytes/index.js";
import type { BlobReader, ContentStore, IngestWriter } from "../content/index.js";
import { invalidArgument, LazuliError } from "../errors/index.js";
import { readTar, type TarEntry, TarWriter } from "../tar/index.js";

/** containerd's media types of a checkpoint (core/images/mediatypes.go). */
export const checkpointTypes = {
  images: "application/vnd.containerd.container.criu.checkpoint.criu.tar",
  spec: "application/vnd.containerd.container.checkpoint.config.v1+proto",
} as const;

export interface StoredBlob {
  readonly mediaType: string;
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
}

/** Bytes of a file that are in memory at once. */
const CHUNK_BYTES = 1024 * 1024;
/** Files in a checkpoint; one beyond it ends the reading. A process has a few of its own, and one for each mount. */
const FILES_MAX = 100_000;

/** A folder for images of CRIU that goes with its user. */
export async function checkpointFolder(): Promise<{ readonly path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(process.env.XDG_RUNTIME_DIR || tmpdir(), "ctrd-checkpoint"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

/** Stores the files of a folder as a tar. */
export async function storeFolder(store: ContentStore, folder: string): Promise<StoredBlob> {
  return await stored(store, { ref: folder, mediaType: checkpointTypes.images }, async (writer) => {
    const tar = new TarWriter();
    const names = (await readdir(folder, { recursive: true })).sort();
    for (const name of names) {
      const path = join(folder, name);
      const facts = await stat(path);
      if (!facts.isFile() && !facts.isDirectory()) continue;
      await writer.write(tar.header(tarEntry(name, facts)));
      if (facts.isFile()) await writeFile(path, { size: facts.size, tar, writer });
    }
    await writer.write(tar.end());
  });
}

/** Stores bytes as they are. */
export async function storeBytes(
  store: ContentStore,
  blob: { readonly ref: string; readonly mediaType: string; readonly bytes: Uint8Array },
): Promise<StoredBlob> {
  return await stored(store, blob, (writer) => writer.write(new Uint8Array(blob.bytes)));
}

async function stored(
  store: ContentStore,
  { ref, mediaType }: { readonly ref: string; readonly mediaType: string },
  write: (writer: IngestWriter) => Promise<void>,
): Promise<StoredBlob> {
  const writer = await store.writer({ ref, total: 0, expected: undefined });
  try {
    // Of one that was broken off.
    if (writer.offset > 0) await writer.truncate(0);
    await write(writer);
    const size = writer.offset;
    const digest = writer.digest();
    await writer.commit({ size, expected: digest, labels: {} }).catch((thrown) => {
      if (LazuliError.from(thrown).code !== "ALREADY_EXISTS") throw thrown;
    });
    return { mediaType, digest, size };
  } finally {
    await writer.close();
  }
}

function tarEntry(name: string, facts: Stats) {
  return {
    kind: facts.isDirectory() ? ("directory" as const) : ("file" as const),
    name: bytesOfText(name),
    mode: facts.mode & 0o7777,
    uid: facts.uid,
    gid: facts.gid,
    mtime: { seconds: BigInt(Math.floor(facts.mtimeMs / 1000)), nanoseconds: 0 },
    size: facts.isFile() ? facts.size : 0,
  };
}

async function writeFile(
  path: string,
  { size, tar, writer }: { readonly size: number; readonly tar: TarWriter; readonly writer: IngestWriter },
): Promise<void> {
  await using file = await open(path);
  let left = size;
  while (left > 0) {
    const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(Math.min(left, CHUNK_BYTES)));
    if (bytesRead === 0) throw new Error(`Cannot read ${path}: want ${left} more bytes, got the end`);
    tar.content(bytesRead);
    left -= bytesRead;
    await writer.write(buffer.subarray(0, bytesRead));
  }
  await writer.write(tar.padding());
}

/** Writes the files of a checkpoint's tar into a folder. @throws INVALID_ARGUMENT for what CRIU does not write */
export async function unpackCheckpoint(
  blob: BlobReader,
  folder: string,
  { signal }: { readonly signal: AbortSignal },
): Promise<void> {
  const read = async (range: { offset: number; length: number }): Promise<Buffer> =>
    Buffer.from(await blob.read(range.offset, range.length));
  let files = 0;
  for await (const entry of readTar({ size: blob.size, read, signal })) {
    files += 1;
    const name = insideName(entry, files);
    const path = join(folder, name);
    try {
      if (entry.kind === "directory") await mkdir(path, { recursive: true });
      else await copyOut(blob, entry, path);
    } catch (thrown) {
      throw impossibleName.has((thrown as NodeJS.ErrnoException).code ?? "")
        ? badPlace(name, thrown)
        : thrown;
    }
  }
}

/** What a file system says of a name that another entry, or nature, does not leave room for. */
const impossibleName = new Set(["EEXIST", "EISDIR", "ENOTDIR", "ENAMETOOLONG"]);

function badPlace(name: string, cause: unknown): Error {
  return invalidArgument(
    `Cannot unpack a checkpoint: want names that fit beside each other, got ${JSON.stringify(name)}`,
    { subject: name, reason: "checkpoint-invalid", cause },
  );
}

function insideName(entry: TarEntry, count: number): string {
  const name = textOfBytes(entry.name);
  const isPlain = (entry.kind === "file" && entry.sparse === undefined) || entry.kind === "directory";
  if (count <= FILES_MAX && isPlain && !name.startsWith("/") && !name.split("/").includes("..")) return name;
  throw invalidArgument(
    `Cannot unpack a checkpoint: want at most ${FILES_MAX} files in one folder, got ${entry.kind} ${JSON.stringify(name)}`,
    { subject: name, reason: "checkpoint-invalid" },
  );
}

async function copyOut(blob: BlobReader, entry: TarEntry, path: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await using file = await open(path, "w", 0o600);
  for (let offset = 0; offset < entry.packedSize; ) {
    const length = Math.min(CHUNK_BYTES, entry.packedSize - offset);
    const bytes = await blob.read(entry.dataOffset + offset, length);
    if (bytes.length === 0) {
      throw invalidArgument(
        `Cannot unpack a checkpoint: want ${entry.packedSize} bytes of ${path}, got fewer`,
        {
          reason: "checkpoint-invalid",
        },
      );
    }
    await file.write(bytes);
    offset += bytes.length;
  }
}
