import { createHash } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import { type Digest, digestAlgorithm } from "../bytes/index.js";
import { hashFile } from "./local-writer.js";

/** Blobs that are remembered as verified; beyond it the oldest is verified again at its next open. */
const REMEMBERED_MAX = 100_000;

/** Which blobs were verified by this process, each for as long as its inode stays as it was. */
export class VerifiedBlobs {
  readonly #seen = new Map<Digest, string>();
  /** Verifications that run; who opens the same blob waits for the same one. */
  readonly #running = new Map<Digest, Promise<boolean>>();

  /** Whether the file has the bytes that its digest says. */
  async check(digest: Digest, file: FileHandle): Promise<boolean> {
    const mark = await markOf(file);
    if (this.#seen.get(digest) === mark) return true;
    const running = this.#running.get(digest);
    if (running !== undefined) return await running;
    const started = hashOf(digest, file)
      .then((actual) => {
        if (actual === digest) this.note(digest, mark);
        return actual === digest;
      })
      .finally(() => this.#running.delete(digest));
    this.#running.set(digest, started);
    return await started;
  }

  note(digest: Digest, mark: string): void {
    this.#seen.delete(digest);
    this.#seen.set(digest, mark);
    if (this.#seen.size <= REMEMBERED_MAX) return;
    const [oldest] = this.#seen.keys();
    this.#seen.delete(oldest!);
  }

  forget(digest: Digest): void {
    this.#seen.delete(digest);
  }
}

/** What changes when anybody writes the file: inode, size and change time. */
async function markOf(file: FileHandle): Promise<string> {
  const { ino, size, ctimeNs } = await file.stat({ bigint: true });
  return `${ino}-${size}-${ctimeNs}`;
}

async function hashOf(digest: Digest, file: FileHandle): Promise<Digest> {
  const hash = createHash(digestAlgorithm(digest));
  await hashFile(file, hash);
  return `${digestAlgorithm(digest)}:${hash.digest("hex")}` as Digest;
}
