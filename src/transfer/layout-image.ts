import { createHash, randomBytes } from "node:crypto";
import { type FileHandle, mkdir, open, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { type Digest, digestAlgorithm, parseDigest } from "../bytes/index.js";
import { dataLoss, notFound } from "../errors/index.js";
import { type Descriptor, MANIFEST_BYTES_MAX, parseIndex } from "../oci/index.js";
import type { PushBlob, PushManifest, PushOutcome } from "../registry/index.js";
import type { ImageDocument, ImageSource, ImageTarget } from "./contract.js";
import { fileBlob } from "./file-blob.js";
import { chosenEntry, LAYOUT_MARK, layoutIndex } from "./layout-index.js";
import { suffixedName } from "./suffixed-name.js";

/** An image in an OCI layout folder (image-spec image-layout.md), for reading. @throws NOT_FOUND */
export async function layoutSource(folder: string, name: string | undefined): Promise<ImageSource> {
  const entry = chosenEntry(await readIndex(folder), { name, folder });
  const document = async ({ digest }: Pick<Descriptor, "digest">): Promise<ImageDocument> => {
    const bytes = await readFile(blobPath(folder, digest)).catch(rethrowMissing(folder, digest));
    if (bytes.length > MANIFEST_BYTES_MAX || digestOf(bytes, digest) !== digest) {
      throw dataLoss(`Cannot read ${digest} in ${folder}: its bytes are not what the digest says`, {
        subject: digest,
        reason: "blob-damaged",
      });
    }
    return { bytes, digest, mediaType: digest === entry.digest ? entry.mediaType : "" };
  };
  return {
    description: `oci:${folder}${name === undefined ? "" : `:${name}`}`,
    repository: undefined,
    root: async () => await document(entry),
    document,
    openBlob: async ({ digest, size }) =>
      await fileBlob({ path: blobPath(folder, digest), digest, size }).catch(rethrowMissing(folder, digest)),
    referrers: async () => [],
    [Symbol.asyncDispose]: async () => undefined,
  };
}

/** An image in an OCI layout folder, for writing: made where it is missing, added to where it is there. */
export async function layoutTarget(folder: string, name: string | undefined): Promise<ImageTarget> {
  await mkdir(join(folder, "blobs", "sha256"), { recursive: true });
  return {
    description: `oci:${folder}${name === undefined ? "" : `:${name}`}`,
    repository: undefined,
    hasBlob: async ({ digest, size }) => await isWhole(blobPath(folder, digest), size),
    pushBlob: async (blob) => await writeBlob(folder, blob),
    pushManifest: async ({ bytes, digest, signal }: PushManifest) => {
      const whole = async function* () {
        yield bytes;
      };
      await writeBlob(folder, { digest, size: bytes.length, open: whole, signal });
    },
    name: async (root, { suffix } = {}) => await nameRoot(folder, suffixedName(name, suffix), root),
    [Symbol.asyncDispose]: async () => undefined,
  };
}

async function writeBlob(folder: string, blob: PushBlob): Promise<PushOutcome> {
  const path = blobPath(folder, blob.digest);
  if (await isWhole(path, blob.size)) return "present";
  const parent = join(folder, "blobs", digestAlgorithm(blob.digest));
  await mkdir(parent, { recursive: true });
  const temporary = join(parent, `.new-${randomBytes(8).toString("hex")}`);
  const file = await open(temporary, "wx", 0o644);
  try {
    await copyVerified(file, blob);
    await file.sync();
    await rename(temporary, path);
  } catch (thrown) {
    await rm(temporary, { force: true });
    throw thrown;
  } finally {
    await file.close();
  }
  return "pushed";
}

async function copyVerified(file: FileHandle, { digest, open: pieces, signal }: PushBlob): Promise<void> {
  const hash = createHash(digestAlgorithm(digest));
  for await (const piece of pieces()) {
    signal?.throwIfAborted();
    hash.update(piece);
    await file.writeFile(piece);
  }
  const actual = parseDigest(`${digestAlgorithm(digest)}:${hash.digest("hex")}`);
  if (actual === digest) return;
  throw dataLoss(`Cannot write ${digest}: its bytes have the digest ${actual}`, {
    subject: digest,
    reason: "digest-mismatch",
  });
}

/** Writes the mark and the index last: a layout that is being made is no layout yet. */
async function nameRoot(folder: string, name: string | undefined, root: Descriptor): Promise<void> {
  const kept = await readIndex(folder).catch((thrown: { code?: string }) => {
    if (thrown.code === "NOT_FOUND") return [];
    throw thrown;
  });
  await replace(join(folder, "oci-layout"), LAYOUT_MARK);
  await replace(join(folder, "index.json"), layoutIndex(kept, name, root));
}

async function replace(path: string, text: string): Promise<void> {
  const temporary = `${path}.new-${randomBytes(8).toString("hex")}`;
  const file = await open(temporary, "wx", 0o644);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
}

async function readIndex(folder: string): Promise<readonly Descriptor[]> {
  const path = join(folder, "index.json");
  const bytes = await readFile(path).catch((thrown: NodeJS.ErrnoException) => {
    if (thrown.code !== "ENOENT" && thrown.code !== "ENOTDIR") throw thrown;
    throw notFound(`Cannot read the OCI layout ${folder}: it has no index.json`, {
      subject: folder,
      reason: "layout-missing",
      hint: "Give a folder that skopeo, buildah or lazuli has written as oci:<folder>",
    });
  });
  return parseIndex(bytes).manifests;
}

function blobPath(folder: string, digest: Digest): string {
  return join(folder, "blobs", ...digest.split(":", 2));
}

function digestOf(bytes: Uint8Array, like: Digest): string {
  const algorithm = digestAlgorithm(like);
  return `${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}`;
}

async function isWhole(path: string, size: number): Promise<boolean> {
  try {
    return (await stat(path)).size === size;
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw thrown;
  }
}

function rethrowMissing(folder: string, digest: Digest): (thrown: NodeJS.ErrnoException) => never {
  return (thrown) => {
    if (thrown.code !== "ENOENT") throw thrown;
    throw notFound(`Cannot find ${digest} in ${folder}`, { subject: digest, reason: "blob-missing" });
  };
}
