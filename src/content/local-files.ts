import { createHash } from "node:crypto";
import { constants, type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import { type Digest, digestAlgorithm } from "../bytes/index.js";
import { LazuliError, resourceExhausted, unavailable } from "../errors/index.js";

/** Where a store keeps what: the layout of containerd's local store (plugins/content/local). */
export class LocalPaths {
  readonly root: string;

  constructor(root: string) {
    this.root = root;
  }

  get blobs(): string {
    return join(this.root, "blobs");
  }

  get ingests(): string {
    return join(this.root, "ingest");
  }

  get quarantine(): string {
    return join(this.root, "quarantine");
  }

  algorithm(name: string): string {
    return join(this.blobs, name);
  }

  blob(digest: Digest): string {
    return join(this.algorithm(digestAlgorithm(digest)), digest.slice(digest.indexOf(":") + 1));
  }

  ingest(ref: string): string {
    return join(this.ingests, createHash("sha256").update(ref).digest("hex"));
  }
}

const FULL = new Set(["ENOSPC", "EDQUOT"]);
const TOO_MANY = new Set(["EMFILE", "ENFILE"]);

export function isMissing(thrown: unknown): boolean {
  return (thrown as NodeJS.ErrnoException).code === "ENOENT";
}

/** What the file system said, as an error of ours; errors of ours stay as they are. */
export function fileError(thrown: unknown, action: string, subject: string): LazuliError {
  if (thrown instanceof LazuliError) return thrown;
  const code = (thrown as NodeJS.ErrnoException).code ?? "";
  const message = `Cannot ${action} ${subject}: ${LazuliError.from(thrown).message}`;
  if (FULL.has(code)) {
    return resourceExhausted(message, {
      subject,
      reason: "content-disk-full",
      hint: "Free space on the file system of lazuli's root, or run `lazuli gc`",
      cause: thrown,
    });
  }
  if (TOO_MANY.has(code)) {
    return resourceExhausted(message, {
      subject,
      reason: "content-files-open",
      hint: "Raise the limit of open files (LimitNOFILE)",
      cause: thrown,
    });
  }
  return unavailable(message, {
    subject,
    reason: "content-file-failed",
    hint: "Look at the kernel's log for errors of the disk",
    cause: thrown,
  });
}

/**
 * Opens a file to read; undefined for what is none: a folder, a link to itself, or a FIFO, which would hold a thread
 * until somebody writes to it. @throws as open(2)
 */
export async function openFile(path: string): Promise<FileHandle | undefined> {
  let handle: FileHandle;
  try {
    handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === "ELOOP") return undefined;
    throw thrown;
  }
  if ((await handle.stat()).isFile()) return handle;
  await handle.close();
  return undefined;
}

/** Syncs of one folder: callers that come while one runs share the next. Keeps the folder open. */
export class FolderSync {
  readonly #path: string;
  #handle: FileHandle | undefined;
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  async sync(): Promise<void> {
    if (this.#running === undefined) {
      const started = this.#syncNow().finally(() => {
        this.#running = undefined;
      });
      this.#running = started;
      return await started;
    }
    this.#next ??= this.#running
      .catch(() => undefined) // Its callers are told; the ones who wait here get a sync of their own.
      .then(async () => {
        this.#next = undefined;
        await this.sync();
      });
    await this.#next;
  }

  async close(): Promise<void> {
    await this.#running?.catch(() => undefined); // Its callers are told.
    await this.#handle?.close();
    this.#handle = undefined;
  }

  async #syncNow(): Promise<void> {
    this.#handle ??= await open(this.#path, "r");
    await this.#handle.sync();
  }
}
