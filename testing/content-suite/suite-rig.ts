import { createHash, randomBytes } from "node:crypto";
import type { Test } from "tap";
import { type Digest, digestAlgorithm } from "../../src/bytes/index.js";
import type { ContentStore, IngestWriter, Labels } from "../../src/content/contract.js";
import type { ErrorCode } from "../../src/errors/index.js";

export type Algorithm = "sha256" | "sha384" | "sha512";

/** What one store can't do that others can. */
export interface StoreTraits {
  readonly algorithms: readonly Algorithm[];
  readonly keepsLabels: boolean;
  readonly filtersBySize: boolean;
  /** Bytes of the longest ref that is taken. */
  readonly refBytesMax: number;
  readonly takesNulInRefs: boolean;
}

/** Two readings of the clock, with something done between them. */
export type Window = readonly [from: bigint, to: bigint];

export interface Sample {
  readonly bytes: Buffer;
  readonly digest: Digest;
}

export interface ExpectedInfo {
  readonly size: number;
  readonly labels?: Labels;
  readonly created?: Window;
  readonly updated?: Window;
}

export interface ExpectedStatus {
  readonly offset: number;
  readonly total: number;
  readonly digest: Digest;
  readonly started: Window;
  readonly updated: Window;
}

export interface RigOptions {
  readonly t: Test;
  readonly prefix: string;
  readonly now: () => bigint;
  readonly traits: StoreTraits;
  readonly store: () => ContentStore;
  readonly reopen: (() => Promise<void>) | undefined;
}

const READ_LENGTH = 256 * 1024;

/** One case's view of the store: names of its own, and the checks that several cases make. */
export class ContentRig {
  readonly t: Test;
  readonly now: () => bigint;
  readonly traits: StoreTraits;
  readonly reopen: (() => Promise<void>) | undefined;
  readonly #prefix: string;
  readonly #store: () => ContentStore;

  constructor(options: RigOptions) {
    this.t = options.t;
    this.now = options.now;
    this.traits = options.traits;
    this.reopen = options.reopen;
    this.#prefix = options.prefix;
    this.#store = options.store;
  }

  /** The store as it is now: another object after `reopen`. */
  get store(): ContentStore {
    return this.#store();
  }

  ref(name: string): string {
    return `${this.#prefix}-${name}`;
  }

  sample(size: number, algorithm: Algorithm = "sha256"): Sample {
    const bytes = randomBytes(size);
    return { bytes, digest: digestOf(bytes, algorithm) };
  }

  async writer(
    name: string,
    options: { total?: number; expected?: Digest; signal?: AbortSignal } = {},
  ): Promise<IngestWriter> {
    const { total = 0, expected, signal } = options;
    return await this.store.writer({ ref: this.ref(name), total, expected, signal });
  }

  /** Writes a whole blob. */
  async put(name: string, sample: Sample, labels: Labels = {}): Promise<void> {
    const writer = await this.writer(name, { total: sample.bytes.length, expected: sample.digest });
    await writer.write(Buffer.from(sample.bytes));
    await writer.commit({ size: sample.bytes.length, expected: sample.digest, labels });
  }

  /** Reads a whole blob, piece by piece. */
  async bytes(digest: Digest): Promise<Buffer> {
    await using reader = await this.store.open(digest);
    const pieces: Uint8Array[] = [];
    for (let offset = 0; offset < reader.size; ) {
      const piece = await reader.read(offset, READ_LENGTH);
      if (piece.length === 0) break;
      pieces.push(piece);
      offset += piece.length;
    }
    return Buffer.concat(pieces);
  }

  /** Checks a digest of bytes that are on their way: a store may hash them with an algorithm of its own choice. */
  checkRunningDigest(digest: Digest, bytes: Uint8Array): void {
    this.t.equal(digest, digestOf(bytes, digestAlgorithm(digest) as Algorithm), "running digest");
  }

  async during<T>(work: () => Promise<T>): Promise<{ value: T; window: Window }> {
    const from = this.now();
    const value = await work();
    return { value, window: [from, this.now()] };
  }

  async fails(what: string, codes: ErrorCode | readonly ErrorCode[], work: Promise<unknown>): Promise<void> {
    const outcome = await work.then(
      () => "success",
      (thrown: { code?: unknown; message?: unknown }) => String(thrown.code ?? thrown.message),
    );
    const wanted: readonly string[] = typeof codes === "string" ? [codes] : codes;
    this.t.ok(wanted.includes(outcome), `${what}: want ${wanted.join(" or ")}, got ${outcome}`);
  }

  async checkInfo(digest: Digest, expected: ExpectedInfo): Promise<void> {
    const info = await this.store.info(digest);
    this.t.equal(info.digest, digest);
    this.t.equal(info.size, expected.size, "size");
    if (this.traits.keepsLabels) this.t.strictSame(info.labels, expected.labels ?? {}, "labels");
    if (expected.created !== undefined) this.#within("createdAt", info.createdAt, expected.created);
    if (expected.updated !== undefined) this.#within("updatedAt", info.updatedAt, expected.updated);
  }

  checkStatus(writer: IngestWriter, expected: ExpectedStatus): void {
    const status = writer.status();
    this.t.equal(status.ref, writer.ref);
    this.t.equal(status.offset, expected.offset, "offset");
    this.t.equal(writer.offset, expected.offset, "offset of the writer");
    this.t.equal(status.total, expected.total, "total");
    this.t.equal(writer.digest(), expected.digest, "running digest");
    this.#within("startedAt", status.startedAt, expected.started);
    this.#within("updatedAt", status.updatedAt, expected.updated);
  }

  async checkBytes(digest: Digest, bytes: Uint8Array): Promise<void> {
    this.t.ok((await this.bytes(digest)).equals(bytes), "the blob's bytes");
  }

  async checkLocked(name: string): Promise<void> {
    await this.fails(`a second writer of ${name}`, "UNAVAILABLE", this.writer(name));
  }

  #within(what: string, time: bigint, [from, to]: Window): void {
    this.t.ok(from <= time && time <= to, `${what} ${time} lies within ${from} and ${to}`);
  }
}

export function digestOf(bytes: Uint8Array, algorithm: Algorithm = "sha256"): Digest {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}` as Digest;
}

export type Case = (rig: ContentRig) => Promise<void>;
