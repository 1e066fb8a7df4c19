import { createHash, randomBytes } from "node:crypto";
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { bytesOfText, type Digest, digestAlgorithm } from "../bytes/index.js";
import { dataLoss, notFound } from "../errors/index.js";
import { type Descriptor, MANIFEST_BYTES_MAX, parseIndex } from "../oci/index.js";
import type { PushBlob, PushOutcome } from "../registry/index.js";
import { TarWriter } from "../tar/index.js";
import { type Member, readMember, readMembers } from "./archive-members.js";
import type { ImageSource, ImageTarget } from "./contract.js";
import { readBlob } from "./copy-blob.js";
import { fileBlob } from "./file-blob.js";
import { chosenEntry, LAYOUT_MARK, layoutIndex } from "./layout-index.js";
import { suffixedName } from "./suffixed-name.js";

/** An image in a tar of an OCI layout, for reading in place. @throws NOT_FOUND */
export async function archiveSource(path: string, name: string | undefined): Promise<ImageSource> {
  const members = await readMembers(path);
  const member = (of: string): Member => {
    const found = members.get(of);
    if (found !== undefined) return found;
    throw notFound(`Cannot find ${of} in ${path}`, { subject: path, reason: "blob-missing" });
  };
  const index = members.get("index.json");
  if (index === undefined) {
    throw notFound(`Cannot read the OCI archive ${path}: it has no index.json`, {
      subject: path,
      reason: "layout-missing",
      hint: "Give a file that skopeo, buildah, ctr or lazuli has written as oci-archive:<file>",
    });
  }
  const entry = chosenEntry(parseIndex(await readMember(path, index, MANIFEST_BYTES_MAX)).manifests, {
    name,
    folder: path,
  });
  const openBlob: ImageSource["openBlob"] = async ({ digest, size }) =>
    await fileBlob({ path, digest, size, offset: member(blobName(digest)).offset });
  const source: ImageSource = {
    description: `oci-archive:${path}${name === undefined ? "" : `:${name}`}`,
    repository: undefined,
    root: async (options) => await source.document(entry, options),
    document: async ({ digest }, { signal } = {}) => {
      const { size } = member(blobName(digest));
      const bytes = await readBlob(source, { digest, size }, { signal, bytesMax: MANIFEST_BYTES_MAX });
      return { bytes, digest, mediaType: digest === entry.digest ? entry.mediaType : "" };
    },
    openBlob,
    referrers: async () => [],
    [Symbol.asyncDispose]: async () => undefined,
  };
  return source;
}

/**
 * An image in a tar of an OCI layout, for writing: the file takes its place when the image gets its name, and what was
 * written is deleted when it gets none.
 */
export async function archiveTarget(path: string, name: string | undefined): Promise<ImageTarget> {
  const writer = await ArchiveWriter.make(path);
  const named: (Descriptor & { readonly annotations: Readonly<Record<string, string>> })[] = [];
  return {
    description: `oci-archive:${path}${name === undefined ? "" : `:${name}`}`,
    repository: undefined,
    hasBlob: async ({ digest }) => writer.has(digest),
    pushBlob: async (blob) => await writer.addBlob(blob),
    pushManifest: async ({ bytes, digest, signal }) => {
      const whole = async function* () {
        yield bytes;
      };
      await writer.addBlob({ digest, size: bytes.length, open: whole, signal });
    },
    name: async (root, { suffix } = {}) => {
      const own = suffixedName(name, suffix);
      const index = layoutIndex(named, own, root);
      if (suffix === undefined) await writer.finish(index);
      else named.push(...parseIndex(Buffer.from(index)).manifests.slice(-1));
    },
    [Symbol.asyncDispose]: async () => await writer[Symbol.asyncDispose](),
  };
}

class ArchiveWriter implements AsyncDisposable {
  readonly #path: string;
  readonly #temporary: string;
  readonly #file: FileHandle;
  readonly #tar = new TarWriter();
  readonly #blobs = new Set<Digest>();
  /** Blobs come side by side and are written one by one. */
  #last: Promise<unknown> = Promise.resolve();
  #position = 0;
  #isDone = false;

  private constructor(parts: { path: string; temporary: string; file: FileHandle }) {
    this.#path = parts.path;
    this.#temporary = parts.temporary;
    this.#file = parts.file;
  }

  static async make(path: string): Promise<ArchiveWriter> {
    const temporary = `${path}.new-${randomBytes(8).toString("hex")}`;
    return new ArchiveWriter({ path, temporary, file: await open(temporary, "wx", 0o644) });
  }

  has(digest: Digest): boolean {
    return this.#blobs.has(digest);
  }

  /** @throws DATA_LOSS `digest-mismatch`: the archive is of no use then */
  async addBlob(blob: PushBlob): Promise<PushOutcome> {
    return await this.#next(async () => {
      const { digest, size, signal } = blob;
      if (this.#blobs.has(digest)) return "present";
      const hash = createHash(digestAlgorithm(digest));
      await this.#member(blobName(digest), size, async function* () {
        for await (const piece of blob.open()) {
          signal?.throwIfAborted();
          hash.update(piece);
          yield piece;
        }
      });
      const actual = `${digestAlgorithm(digest)}:${hash.digest("hex")}`;
      if (actual !== digest) {
        throw dataLoss(`Cannot write ${digest}: its bytes have the digest ${actual}`, {
          subject: digest,
          reason: "digest-mismatch",
        });
      }
      this.#blobs.add(digest);
      return "pushed";
    });
  }

  async finish(index: string): Promise<void> {
    await this.#next(async () => {
      for (const [name, text] of [
        ["oci-layout", LAYOUT_MARK],
        ["index.json", index],
      ] as const) {
        const bytes = Buffer.from(text);
        await this.#member(name, bytes.length, async function* () {
          yield bytes;
        });
      }
      await this.#write(this.#tar.end());
      await this.#file.sync();
      await rename(this.#temporary, this.#path);
      this.#isDone = true;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#last.catch(() => undefined);
    await this.#file.close();
    if (!this.#isDone) await rm(this.#temporary, { force: true });
  }

  async #next<Result>(work: () => Promise<Result>): Promise<Result> {
    const turn = this.#last.then(work);
    this.#last = turn.catch(() => undefined);
    return await turn;
  }

  async #member(name: string, size: number, pieces: () => AsyncIterable<Uint8Array>): Promise<void> {
    const mtime = { seconds: 0n, nanoseconds: 0 };
    const facts = { name: bytesOfText(name), mode: 0o644, uid: 0, gid: 0, mtime, size };
    const start = this.#position;
    await this.#write(this.#tar.header({ kind: "file", ...facts }));
    let written = 0;
    for await (const piece of pieces()) {
      written += piece.length;
      if (written > size) break;
      await this.#write(piece);
    }
    if (written !== size) {
      throw dataLoss(`Cannot write ${name}: want ${size} bytes, got ${written} at ${start}`, {
        subject: name,
        reason: "blob-short",
      });
    }
    this.#tar.content(size);
    await this.#write(this.#tar.padding());
  }

  async #write(bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      const { bytesWritten } = await this.#file.write(bytes, done, bytes.length - done, this.#position);
      done += bytesWritten;
      this.#position += bytesWritten;
    }
  }
}

function blobName(digest: Digest): string {
  return `blobs/${digest.replace(":", "/")}`;
}
