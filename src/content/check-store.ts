import { createHash } from "node:crypto";
import { type FileHandle, lstat, open, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { type Digest, digestAlgorithm, digestBytes, parseDigest } from "../bytes/index.js";
import { LazuliError } from "../errors/index.js";

/** A blob's file as it lies on disk. */
export interface CheckedBlob {
  readonly digest: Digest;
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  /** Nanoseconds since 1970. */
  readonly modifiedAt: bigint;
  /** Why the file is not the blob that its name says; undefined: it is. */
  readonly damage: string | undefined;
}

export interface CheckedIngest {
  readonly folder: string;
  /** undefined: the folder does not say, so that nobody can resume it. */
  readonly ref: string | undefined;
}

export interface CheckedStore {
  readonly blobs: ReadonlyMap<Digest, CheckedBlob>;
  readonly ingests: readonly CheckedIngest[];
  /** Paths of what no store puts there. */
  readonly unknown: readonly string[];
}

export interface CheckStoreOptions {
  /** Folder with `blobs` and `ingest`. */
  readonly root: string;
  /** Called after each blob. */
  readonly onBlob?: (done: { readonly blobs: number; readonly bytes: number }) => void;
  readonly signal?: AbortSignal | undefined;
}

const READ_BYTES = 1024 * 1024;
/** A ref is at most 1024 bytes long; a longer file is none. */
const REF_BYTES_MAX = 8192;
const algorithms = ["sha256", "sha384", "sha512"];

/**
 * Reads every blob of a store that nobody has open and says which ones are what their names say. Changes nothing.
 * A folder that is missing counts as empty.
 */
export async function checkStore(options: CheckStoreOptions): Promise<CheckedStore> {
  const unknown: string[] = [];
  const blobs = await checkBlobs(options, unknown);
  const ingests = await checkIngests(join(options.root, "ingest"), unknown);
  return { blobs, ingests, unknown };
}

async function checkBlobs(options: CheckStoreOptions, unknown: string[]): Promise<Map<Digest, CheckedBlob>> {
  const blobs = new Map<Digest, CheckedBlob>();
  const folder = join(options.root, "blobs");
  let bytes = 0;
  for (const algorithm of await namesIn(folder)) {
    const below = join(folder, algorithm);
    if (!algorithms.includes(algorithm) || !(await lstat(below)).isDirectory()) {
      unknown.push(below);
      continue;
    }
    for (const hex of await namesIn(below)) {
      options.signal?.throwIfAborted();
      const path = join(below, hex);
      const digest = digestOf(algorithm, hex);
      const stat = await lstat(path, { bigint: true });
      if (digest === undefined || !stat.isFile()) {
        unknown.push(path);
        continue;
      }
      const size = Number(stat.size);
      const damage = await damageOf({ path, digest, signal: options.signal });
      blobs.set(digest, { digest, path, size, modifiedAt: stat.mtimeNs, damage });
      bytes += size;
      options.onBlob?.({ blobs: blobs.size, bytes });
    }
  }
  return blobs;
}

async function damageOf(blob: {
  readonly path: string;
  readonly digest: Digest;
  readonly signal: AbortSignal | undefined;
}): Promise<string | undefined> {
  let file: FileHandle | undefined;
  try {
    file = await open(blob.path, "r");
    const hash = createHash(digestAlgorithm(blob.digest));
    const buffer = Buffer.allocUnsafe(READ_BYTES);
    for (;;) {
      blob.signal?.throwIfAborted();
      const { bytesRead } = await file.read(buffer, 0, READ_BYTES, null);
      if (bytesRead === 0) break;
      hash.update(buffer.subarray(0, bytesRead));
    }
    const actual = hash.digest();
    if (actual.equals(digestBytes(blob.digest))) return undefined;
    return `its bytes have the digest ${digestAlgorithm(blob.digest)}:${actual.toString("hex")}`;
  } catch (thrown) {
    blob.signal?.throwIfAborted();
    const { code } = thrown as NodeJS.ErrnoException;
    // Any other failure says something about this process, not about the blob.
    if (code !== "EIO") throw thrown;
    return `it can't be read: ${LazuliError.from(thrown).message}`;
  } finally {
    await file?.close();
  }
}

async function checkIngests(folder: string, unknown: string[]): Promise<CheckedIngest[]> {
  const ingests: CheckedIngest[] = [];
  for (const name of await namesIn(folder)) {
    const path = join(folder, name);
    const stat = await lstat(path);
    if (!stat.isDirectory() || !/^[0-9a-f]{64}$/.test(name)) unknown.push(path);
    else ingests.push({ folder: path, ref: await refOf(path, name) });
  }
  return ingests;
}

async function refOf(folder: string, name: string): Promise<string | undefined> {
  try {
    const { size } = await lstat(join(folder, "ref"));
    if (size > REF_BYTES_MAX) return undefined;
    const ref = await readFile(join(folder, "ref"), "utf8");
    return createHash("sha256").update(ref).digest("hex") === name ? ref : undefined;
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw thrown;
  }
}

function digestOf(algorithm: string, hex: string): Digest | undefined {
  try {
    return parseDigest(`${algorithm}:${hex}`);
  } catch {
    return undefined; // No blob has such a name.
  }
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).sort();
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw thrown;
  }
}
