import { createHash, type Hash } from "node:crypto";
import { mkdir, opendir, rename, stat, unlink } from "node:fs/promises";
import { join } from "node:path";
import { type Digest, digestAlgorithm, digestFileName, parseDigest } from "../bytes/index.js";
import {
  alreadyExists,
  dataLoss,
  failedPrecondition,
  invalidArgument,
  notFound,
  resourceExhausted,
  unavailable,
} from "../errors/index.js";
import { syncFolder } from "../files/index.js";
import { parseFilters } from "../filters/index.js";
import { failurePoint, log } from "../observe/index.js";
import type {
  BlobReader,
  CommitIngest,
  ContentInfo,
  ContentStore,
  IngestStatus,
  IngestWriter,
  Labels,
  OpenIngest,
  UpdateContent,
} from "./contract.js";
import { FolderSync, fileError, isMissing, LocalPaths, openFile } from "./local-files.js";
import {
  createIngestFolder,
  ingestStatus,
  readIngestFacts,
  removeIngestFolder,
  type TakeFileSteps,
} from "./local-ingest.js";
import { LocalReader } from "./local-reader.js";
import { hashFile, LocalWriter, openData } from "./local-writer.js";
import { VerifiedBlobs } from "./verified-blobs.js";

const aborted = failurePoint("content.abort.removed");
const deleted = failurePoint("content.delete.removed");
const begun = failurePoint("content.ingest.begun");

const ALGORITHMS = ["sha256", "sha384", "sha512"];
/** Blobs of a walk that are looked at side by side. */
const BATCH_NAMES = 64;
/** Ingests that may be written at a time; one more gets RESOURCE_EXHAUSTED. */
const WRITERS_MAX = 4096;

/** Brings the bytes of a damaged blob again; undefined: nobody has them. */
export type RepairSource = (
  digest: Digest,
  options: { readonly signal?: AbortSignal | undefined },
) => Promise<AsyncIterable<Uint8Array> | undefined>;

export interface LocalStoreOptions {
  /** Made if missing. */
  readonly root: string;
  /** Nanoseconds since 1970. */
  readonly now: () => bigint;
  /** The native addon's. */
  readonly fileSteps: TakeFileSteps;
  readonly repairFrom?: RepairSource;
}

export interface ScrubOptions {
  /** Most bytes that are read in a second. */
  readonly bytesPerSecond: number;
  readonly signal: AbortSignal;
}

/**
 * Blobs and ingests in one folder, laid out as containerd's local store lays them out. Keeps no labels: the rows of
 * the namespaces have them. A blob is verified at its first open in this process, and again when its inode changed.
 */
export class LocalStore implements ContentStore {
  readonly #paths: LocalPaths;
  readonly #now: () => bigint;
  readonly #fileSteps: TakeFileSteps;
  readonly #repairFrom: RepairSource | undefined;
  readonly #verified = new VerifiedBlobs();
  readonly #syncs: ReadonlyMap<string, FolderSync>;
  readonly #ingestSync: FolderSync;
  /** Commits that run, one a digest. */
  readonly #commits = new Map<Digest, Promise<void>>();
  /** When each ref that is being written was locked. */
  readonly #locks = new Map<string, bigint>();

  constructor(options: LocalStoreOptions) {
    this.#paths = new LocalPaths(options.root);
    this.#now = options.now;
    this.#fileSteps = options.fileSteps;
    this.#repairFrom = options.repairFrom;
    this.#syncs = new Map(ALGORITHMS.map((name) => [name, new FolderSync(this.#paths.algorithm(name))]));
    this.#ingestSync = new FolderSync(this.#paths.ingests);
  }

  async info(digest: Digest): Promise<ContentInfo> {
    const path = this.#paths.blob(parseDigest(digest));
    try {
      const { size, mtimeNs, atimeNs } = await stat(path, { bigint: true });
      return { digest, size: Number(size), createdAt: mtimeNs, updatedAt: atimeNs, labels: {} };
    } catch (thrown) {
      if (isMissing(thrown)) throw missing(digest);
      throw fileError(thrown, "look at", digest);
    }
  }

  async update({ digest }: UpdateContent): Promise<ContentInfo> {
    await this.info(digest);
    throw failedPrecondition("update not supported on immutable content store", {
      subject: digest,
      reason: "labels-not-kept",
    });
  }

  async *walk(filters: readonly string[]): AsyncIterable<ContentInfo> {
    const matches = parseFilters(filters);
    for (const algorithm of ALGORITHMS) {
      for await (const names of batchesOf(namesIn(this.#paths.algorithm(algorithm)))) {
        const infos = await Promise.all(names.map(async (name) => await this.#infoIfThere(algorithm, name)));
        for (const info of infos) {
          if (info === undefined) continue;
          const isMatch = matches(([field]) =>
            field === "digest" ? info.digest : field === "size" ? String(info.size) : undefined,
          );
          if (isMatch) yield info;
        }
      }
    }
  }

  async delete(digest: Digest): Promise<void> {
    this.#verified.forget(digest);
    try {
      await unlink(this.#paths.blob(parseDigest(digest)));
      deleted.pass();
    } catch (thrown) {
      if (isMissing(thrown)) throw missing(digest);
      throw fileError(thrown, "delete", digest);
    }
  }

  async open(digest: Digest, options: { signal?: AbortSignal | undefined } = {}): Promise<BlobReader> {
    const reader = await this.#openVerified(digest);
    if (reader !== undefined) return reader;
    await this.#quarantine(digest);
    if (await this.#repair(digest, options)) {
      const repaired = await this.#openVerified(digest);
      if (repaired !== undefined) return repaired;
    }
    throw dataLoss(`Cannot read ${digest}: its bytes on disk are not what the digest says`, {
      subject: digest,
      reason: "blob-damaged",
      hint: "The bytes were moved to the quarantine folder: delete the content and pull the image again",
    });
  }

  async status(ref: string): Promise<IngestStatus> {
    const status = await this.#fileCall("look at the ingest", ref, ingestStatus(this.#paths.ingest(ref)));
    if (status === undefined) throw missingIngest(ref);
    return status;
  }

  async statuses(filters: readonly string[]): Promise<readonly IngestStatus[]> {
    const matches = parseFilters(filters);
    const found: IngestStatus[] = [];
    for await (const name of namesIn(this.#paths.ingests)) {
      const folder = join(this.#paths.ingests, name);
      const status = await this.#fileCall("look at the ingest", name, ingestStatus(folder));
      if (status === undefined) continue;
      if (matches(([field]) => (field === "ref" ? status.ref : undefined))) found.push(status);
    }
    return found;
  }

  async abort(ref: string): Promise<void> {
    const folder = this.#paths.ingest(ref);
    try {
      await stat(folder);
      await removeIngestFolder(folder);
      aborted.pass();
    } catch (thrown) {
      if (isMissing(thrown)) throw missingIngest(ref);
      throw fileError(thrown, "abort the ingest", ref);
    }
  }

  async writer(request: OpenIngest): Promise<IngestWriter> {
    const { ref, expected, signal } = request;
    signal?.throwIfAborted();
    if (ref === "") throw invalidArgument("ref must not be empty", { reason: "ref-empty" });
    const unlock = this.#lock(ref);
    try {
      if (expected !== undefined && (await this.#has(expected))) {
        throw alreadyExists(`content ${expected}: already exists`, {
          subject: expected,
          reason: "content-exists",
        });
      }
      return await this.#openWriter(request, unlock);
    } catch (thrown) {
      unlock();
      throw fileError(thrown, "open the ingest", ref);
    }
  }

  /** Verifies every blob once, at most so many bytes a second; damaged ones go to the quarantine or are repaired. */
  async scrub({
    bytesPerSecond,
    signal,
  }: ScrubOptions): Promise<{ blobs: number; damaged: readonly Digest[] }> {
    const damaged: Digest[] = [];
    let blobs = 0;
    for await (const { digest, size } of this.walk([])) {
      if (signal.aborted) break;
      this.#verified.forget(digest);
      const started = performance.now();
      try {
        await using _reader = await this.open(digest, { signal });
        blobs += 1;
      } catch (thrown) {
        const { code } = thrown as { code?: string };
        if (code === "DATA_LOSS") damaged.push(digest);
        else if (code !== "NOT_FOUND") throw thrown;
      }
      const owedMs = (size / bytesPerSecond) * 1000 - (performance.now() - started);
      await pause(owedMs, signal);
    }
    return { blobs, damaged };
  }

  /** Writers and readers close themselves. */
  async close(): Promise<void> {
    for (const sync of [...this.#syncs.values(), this.#ingestSync]) await sync.close();
  }

  async #infoIfThere(algorithm: string, name: string): Promise<ContentInfo | undefined> {
    const digest = digestOf(algorithm, name);
    if (digest === undefined) return undefined;
    try {
      return await this.info(digest);
    } catch (thrown) {
      if ((thrown as { code?: string }).code === "NOT_FOUND") return undefined;
      throw thrown;
    }
  }

  async #openWriter(request: OpenIngest, unlock: () => void): Promise<IngestWriter> {
    const { ref, total, expected } = request;
    const folder = this.#paths.ingest(ref);
    const now = this.#now();
    const fresh = { ref, total, startedAt: now, updatedAt: now };
    let facts = fresh;
    let isNew = await createIngestFolder({ folder, facts: fresh, fileSteps: this.#fileSteps });
    if (!isNew) {
      const kept = await readIngestFacts(folder);
      const isOther = kept === undefined || kept.ref !== ref;
      if (isOther || (kept.total > 0 && total > 0 && kept.total !== total)) {
        await removeIngestFolder(folder);
        isNew = await createIngestFolder({ folder, facts: fresh, fileSteps: this.#fileSteps });
      } else facts = kept;
    }
    if (isNew) begun.pass();
    const algorithm = expected === undefined ? ALGORITHMS[0]! : digestAlgorithm(expected);
    const hash: Hash = createHash(algorithm);
    const data = await openData(folder);
    try {
      const offset = isNew ? 0 : await hashFile(data, hash);
      return new LocalWriter({
        folder,
        data,
        hash,
        algorithm,
        unlock,
        fileSteps: this.#fileSteps,
        now: this.#now,
        status: { ...facts, offset, expected },
        blobPath: (digest) => this.#paths.blob(digest),
        exclusive: async (digest, commit) => await this.#exclusive(digest, commit),
        syncBlobs: async (digest) => await this.#syncs.get(digestAlgorithm(digest))!.sync(),
        label: async (digest: Digest, labels: Labels) => this.#requireNoLabels(digest, labels),
      });
    } catch (thrown) {
      await data.close();
      throw thrown;
    }
  }

  async #exclusive(digest: Digest, commit: () => Promise<void>): Promise<void> {
    for (let before = this.#commits.get(digest); before !== undefined; before = this.#commits.get(digest)) {
      // Its caller is told how it ended.
      await before.catch(() => undefined);
    }
    const running = commit().finally(() => this.#commits.delete(digest));
    this.#commits.set(digest, running);
    await running;
  }

  #requireNoLabels(digest: Digest, labels: Labels): void {
    if (Object.keys(labels).length === 0) return;
    log.debug("Labels of a blob are kept by its namespace only", { digest });
  }

  #lock(ref: string): () => void {
    const since = this.#locks.get(ref);
    if (since !== undefined) {
      const started = new Date(Number(since / 1_000_000n));
      const heldMs = Date.now() - started.getTime();
      throw unavailable(`ref ${ref} locked for ${heldMs}ms (since ${started.toISOString()})`, {
        subject: ref,
        reason: "ref-locked",
      });
    }
    if (this.#locks.size >= WRITERS_MAX) {
      throw resourceExhausted(
        `Cannot open the ingest ${ref}: at most ${WRITERS_MAX} may be written at a time`,
        {
          subject: ref,
          reason: "ingests-open",
        },
      );
    }
    this.#locks.set(ref, this.#now());
    return () => this.#locks.delete(ref);
  }

  async #has(digest: Digest): Promise<boolean> {
    try {
      await stat(this.#paths.blob(digest));
      return true;
    } catch (thrown) {
      if (isMissing(thrown)) return false;
      throw thrown;
    }
  }

  /** undefined: damaged. */
  async #openVerified(digest: Digest): Promise<BlobReader | undefined> {
    try {
      const file = await openFile(this.#paths.blob(parseDigest(digest)));
      if (file === undefined) return undefined;
      let isKept = false;
      try {
        if (!(await this.#verified.check(digest, file))) return undefined;
        const { size } = await file.stat();
        isKept = true;
        return new LocalReader({ file, size, name: digest });
      } finally {
        if (!isKept) await file.close();
      }
    } catch (thrown) {
      if (isMissing(thrown)) throw missing(digest);
      throw fileError(thrown, "open", digest);
    }
  }

  async #quarantine(digest: Digest): Promise<void> {
    const place = join(this.#paths.quarantine, `${digestFileName(digest)}-${this.#now()}`);
    log.error("A blob is damaged on disk and goes to the quarantine", { digest, place });
    try {
      await mkdir(this.#paths.quarantine, { recursive: true, mode: 0o700 });
      await rename(this.#paths.blob(digest), place);
      await this.#syncs.get(digestAlgorithm(digest))!.sync();
    } catch (thrown) {
      // Another reader has moved it already.
      if (!isMissing(thrown)) throw fileError(thrown, "move to the quarantine", digest);
    }
  }

  async #repair(digest: Digest, options: { signal?: AbortSignal | undefined }): Promise<boolean> {
    const bytes = await this.#repairFrom?.(digest, options);
    if (bytes === undefined) return false;
    const writer = await this.writer({ ref: `repair-${digest}`, total: 0, expected: digest, ...options });
    try {
      await writer.truncate(0);
      for await (const piece of bytes) {
        options.signal?.throwIfAborted();
        await writer.write(piece);
      }
      await writer.commit({ size: 0, expected: digest, labels: {} } satisfies CommitIngest);
    } finally {
      await writer.close();
    }
    log.info("A damaged blob was fetched again", { digest });
    return true;
  }

  async #fileCall<Value>(action: string, subject: string, call: Promise<Value>): Promise<Value> {
    try {
      return await call;
    } catch (thrown) {
      throw fileError(thrown, action, subject);
    }
  }

  /** Makes the folders, durably. */
  async prepare(): Promise<void> {
    const { root, blobs, ingests } = this.#paths;
    try {
      await mkdir(root, { recursive: true, mode: 0o700 });
      for (const name of ALGORITHMS) await mkdir(this.#paths.algorithm(name), { recursive: true });
      await mkdir(ingests, { recursive: true });
      // A kill between a commit's rename and its sync left a name that the next commit would find and acknowledge.
      for (const sync of this.#syncs.values()) await sync.sync();
      await syncFolder(blobs);
      await syncFolder(root);
      await this.#ingestSync.sync();
    } catch (thrown) {
      throw fileError(thrown, "make the folders of the content store", root);
    }
  }
}

export async function openLocalStore(options: LocalStoreOptions): Promise<LocalStore> {
  const store = new LocalStore(options);
  await store.prepare();
  return store;
}

function digestOf(algorithm: string, name: string): Digest | undefined {
  try {
    return parseDigest(`${algorithm}:${name}`);
  } catch {
    // A file of somebody else's is no blob.
    return undefined;
  }
}

async function* namesIn(folder: string): AsyncIterable<string> {
  try {
    for await (const { name } of await opendir(folder, { bufferSize: BATCH_NAMES })) yield name;
  } catch (thrown) {
    if (!isMissing(thrown)) throw fileError(thrown, "list", folder);
  }
}

async function* batchesOf(names: AsyncIterable<string>): AsyncIterable<string[]> {
  let batch: string[] = [];
  for await (const name of names) {
    batch.push(name);
    if (batch.length < BATCH_NAMES) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}

async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  if (milliseconds <= 0 || signal.aborted) return;
  await new Promise<void>((resolve) => {
    const timer = setTimeout(done, milliseconds);
    function done(): void {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    }
    signal.addEventListener("abort", done, { once: true });
  });
}

function missing(digest: Digest): Error {
  return notFound(`content ${digest}: not found`, { subject: digest, reason: "content-missing" });
}

function missingIngest(ref: string): Error {
  return notFound(`ingest ref ${JSON.stringify(ref)}: not found`, { subject: ref, reason: "ingest-missing" });
}
