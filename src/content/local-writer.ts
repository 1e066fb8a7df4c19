import { createHash, type Hash } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, open, rename, stat } from "node:fs/promises";
import { join } from "node:path";
import { type Digest, digestAlgorithm, parseDigest } from "../bytes/index.js";
import { alreadyExists, failedPrecondition, invalidArgument } from "../errors/index.js";
import { failurePoint } from "../observe/index.js";
import type { CommitIngest, IngestStatus, IngestWriter, Labels } from "./contract.js";
import { fileError, isMissing } from "./local-files.js";
import {
  noteUpdated,
  removeCommittedIngest,
  removeIngestFolder,
  type TakeFileSteps,
} from "./local-ingest.js";

const synced = failurePoint("content.commit.synced");
const renamed = failurePoint("content.commit.renamed");
const durable = failurePoint("content.commit.durable");

const COPY_BYTES = 1024 * 1024;
const BLOB_MODE = 0o444;

export interface LocalWriterOptions {
  readonly folder: string;
  readonly data: FileHandle;
  readonly status: IngestStatus;
  readonly algorithm: string;
  /** Of the bytes that are there already. */
  readonly hash: Hash;
  readonly now: () => bigint;
  readonly blobPath: (digest: Digest) => string;
  /** Runs one commit of a digest after another. */
  readonly exclusive: (digest: Digest, commit: () => Promise<void>) => Promise<void>;
  /** Makes the name of a blob durable. */
  readonly syncBlobs: (digest: Digest) => Promise<void>;
  readonly label: (digest: Digest, labels: Labels) => Promise<void>;
  readonly unlock: () => void;
  readonly fileSteps: TakeFileSteps;
}

/** An ingest in a folder of the local store. Hashing on this thread overlaps with writing on another. */
export class LocalWriter implements IngestWriter {
  readonly #options: LocalWriterOptions;
  #hash: Hash;
  #status: IngestStatus;
  #isOpen = true;
  /** A write or sync that failed: what the file holds since then is not known. */
  #failure: unknown;

  constructor(options: LocalWriterOptions) {
    this.#options = options;
    this.#hash = options.hash;
    this.#status = options.status;
  }

  get ref(): string {
    return this.#status.ref;
  }

  get offset(): number {
    return this.#status.offset;
  }

  status(): IngestStatus {
    return this.#status;
  }

  digest(): Digest {
    return `${this.#options.algorithm}:${this.#hash.copy().digest("hex")}` as Digest;
  }

  async write(bytes: Uint8Array): Promise<void> {
    this.#requireUsable();
    if (bytes.length === 0) return;
    try {
      const written = writeAll(this.#options.data, bytes, this.offset);
      this.#hash.update(bytes);
      await written;
    } catch (thrown) {
      this.#failure = thrown;
      throw fileError(thrown, "write the ingest", this.ref);
    }
    this.#status = {
      ...this.#status,
      offset: this.offset + bytes.length,
      updatedAt: this.#options.now(),
    };
  }

  async truncate(size: number): Promise<void> {
    if (!this.#isOpen) throw closed(this.ref);
    if (size !== 0) {
      throw invalidArgument(`truncate: unsupported size ${size}, only 0 is possible`, {
        subject: this.ref,
        reason: "truncate-size",
      });
    }
    try {
      await this.#options.data.truncate(0);
    } catch (thrown) {
      throw fileError(thrown, "truncate the ingest", this.ref);
    }
    this.#failure = undefined;
    this.#hash = createHash(this.#options.algorithm);
    this.#status = { ...this.#status, offset: 0, updatedAt: this.#options.now() };
  }

  async commit(request: CommitIngest): Promise<Digest> {
    if (!this.#isOpen) throw closed(this.ref);
    this.#isOpen = false;
    const { folder } = this.#options;
    try {
      const digest = await this.#checked(request);
      await this.#options.exclusive(digest, async () => await this.#publish(digest));
      await removeCommittedIngest(folder, this.#options.fileSteps);
      await this.#options.label(digest, request.labels);
      return digest;
    } catch (thrown) {
      throw fileError(thrown, "commit the ingest", this.ref);
    } finally {
      // The bytes are synced or given up by now: what closing says changes neither.
      await this.#options.data.close().catch(() => undefined);
      this.#options.unlock();
    }
  }

  async close(): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    const { data, folder } = this.#options;
    try {
      // Bytes after a write that failed can't be told from others: nothing of them is kept.
      if (this.#failure !== undefined) await data.truncate(0);
      await noteUpdated(folder, this.#status.updatedAt);
      await data.datasync();
    } catch (thrown) {
      throw fileError(thrown, "close the ingest", this.ref);
    } finally {
      // As in commit.
      await data.close().catch(() => undefined);
      this.#options.unlock();
    }
  }

  /** Gives the bytes their name among the blobs. @throws ALREADY_EXISTS */
  async #publish(digest: Digest): Promise<void> {
    const { folder } = this.#options;
    const path = this.#options.blobPath(digest);
    if (await exists(path)) {
      await removeIngestFolder(folder);
      throw alreadyExists(`content ${digest}: already exists`, { subject: digest, reason: "content-exists" });
    }
    await rename(join(folder, "data"), path);
    renamed.pass();
    try {
      await this.#options.syncBlobs(digest);
    } catch (thrown) {
      // Else the next commit would find the blob and acknowledge a name that a loss of power can take.
      await rename(path, join(folder, "data"));
      throw thrown;
    }
    durable.pass();
  }

  /** The digest of the bytes, which are what the request expects, read-only and on disk. */
  async #checked(request: CommitIngest): Promise<Digest> {
    const { data } = this.#options;
    if (this.#failure !== undefined) {
      await data.truncate(0);
      throw this.#failure;
    }
    const { size, expected } = request;
    if (size > 0 && size !== this.offset) {
      throw failedPrecondition(`unexpected commit size ${this.offset}, expected ${size}`, {
        subject: this.ref,
        reason: "commit-size",
      });
    }
    const digest = await this.#digestFor(expected);
    if (expected !== undefined && digest !== expected) {
      throw failedPrecondition(`unexpected commit digest ${digest}, expected ${expected}`, {
        subject: this.ref,
        reason: "commit-digest",
      });
    }
    const seconds = Number(this.#options.now() / 1000n) / 1e6;
    await data.utimes(seconds, seconds);
    await data.chmod(BLOB_MODE);
    try {
      await data.sync();
    } catch (thrown) {
      // After a failed sync the kernel may call the pages clean: they must be written anew.
      await data.truncate(0);
      throw thrown;
    }
    synced.pass();
    return digest;
  }

  async #digestFor(expected: Digest | undefined): Promise<Digest> {
    if (expected === undefined || digestAlgorithm(expected) === this.#options.algorithm) return this.digest();
    const algorithm = digestAlgorithm(expected);
    const hash = createHash(algorithm);
    await hashFile(this.#options.data, hash);
    return parseDigest(`${algorithm}:${hash.digest("hex")}`);
  }

  #requireUsable(): void {
    if (!this.#isOpen) throw closed(this.ref);
    if (this.#failure !== undefined) throw fileError(this.#failure, "write the ingest", this.ref);
  }
}

/** Feeds a whole file to a hash. @returns its bytes */
export async function hashFile(file: FileHandle, hash: Hash): Promise<number> {
  let offset = 0;
  for (;;) {
    const buffer = Buffer.allocUnsafe(COPY_BYTES);
    const { bytesRead } = await file.read(buffer, 0, COPY_BYTES, offset);
    if (bytesRead === 0) return offset;
    hash.update(buffer.subarray(0, bytesRead));
    offset += bytesRead;
  }
}

export async function openData(folder: string): Promise<FileHandle> {
  return await open(join(folder, "data"), constants.O_RDWR | constants.O_CREAT, 0o644);
}

async function writeAll(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  let written = 0;
  while (written < bytes.length) {
    const { bytesWritten } = await file.write(bytes, written, bytes.length - written, position + written);
    written += bytesWritten;
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (thrown) {
    if (isMissing(thrown)) return false;
    throw thrown;
  }
}

function closed(ref: string): Error {
  return failedPrecondition(`cannot commit on closed writer: ${ref}`, {
    subject: ref,
    reason: "writer-closed",
  });
}
