import { closeSync, openSync } from "node:fs";
import { chmod, mkdir, statfs } from "node:fs/promises";
import { constants } from "node:os";
import { join } from "node:path";
import { type Database, open, type RootDatabase } from "lmdb";
import { LazuliError, resourceExhausted, unavailable } from "../errors/index.js";
import { loadBinding } from "../fuse/index.js";
import { checkMetadataFile, damaged } from "./file-check.js";
import { lockFolder } from "./folder-lock.js";
import { canBeKey, type KeyParts, keyParts, type TableKey } from "./key.js";
import { migrate, migrations } from "./migrations.js";
import { SpareRoom } from "./spare-room.js";
import type { Entry, Table } from "./table.js";
import { type Change, decodeRow, type StoredRecord, Transaction } from "./transaction.js";

export interface MetadataOptions {
  /** Made with mode 0700 if missing; a local file system (LMDB maps the file). */
  readonly directory: string;
  /** Free bytes on the disk below which only removals are written; the file takes as much ahead for those. */
  readonly reserveBytes?: number;
}

export interface WriteOptions {
  /** The action makes room: it may use the reserve. */
  readonly isRemoval?: boolean;
}

const TABLES_MAX = 128;

/** Free bytes of the disk beyond the reserve above which they are asked for only so often: no disk fills them sooner. */
const PLENTY_BYTES = 2 * 1024 ** 3;
const FREE_BYTES_VALID_MS = 250;
/** Three files of its own, and some for the other threads of the process meanwhile. */
const DESCRIPTORS_FOR_LMDB = 8;
/** Actions that wait for the commit before them; one beyond it fails with RESOURCE_EXHAUSTED. */
const WRITES_WAITING_MAX = 10_000;
const { EMFILE, ENFILE, ENOSPC } = constants.errno;
const RESERVE_BYTES = 8 * 1024 * 1024;

/** Above every key with the same parts before it: no byte of UTF-8 is as high. */
const ABOVE_ALL = Buffer.from([0xff]);

type StoreKey = string | (string | number | Buffer)[];
type Store = Database<Buffer, StoreKey>;

export type ChangeListener = (changes: readonly Change[]) => void;

interface Waiting {
  readonly action: (transaction: Transaction) => unknown;
  readonly isRemoval: boolean;
  readonly resolve: (value: unknown) => void;
  readonly reject: (reason: unknown) => void;
}

/**
 * What must survive: small values in named tables, in one LMDB file. Reads see what is durable and nothing else;
 * `write` resolves when its changes are on disk. Actions that come while a commit runs share the next one.
 */
export class Metadata {
  /** undefined: the last commit failed, and LMDB could not be opened again so far. */
  #root: RootDatabase | undefined;
  readonly #reopen: () => RootDatabase;
  readonly #room: SpareRoom;
  readonly #lock: AsyncDisposable;
  readonly #freeBytes: () => Promise<number>;
  readonly #reserveBytes: number;
  readonly #stores = new Map<string, Store>();
  readonly #waiting: Waiting[] = [];
  readonly #listeners = new Set<ChangeListener>();
  #commits: Promise<void> | undefined;
  #open = true;

  constructor(parts: {
    root: RootDatabase;
    reopen: () => RootDatabase;
    room: SpareRoom;
    lock: AsyncDisposable;
    freeBytes: () => Promise<number>;
    reserveBytes: number;
  }) {
    this.#root = parts.root;
    this.#reopen = parts.reopen;
    this.#room = parts.room;
    this.#lock = parts.lock;
    this.#freeBytes = parts.freeBytes;
    this.#reserveBytes = parts.reserveBytes;
  }

  get<Value>(table: Table<Value>, key: TableKey): Value | undefined {
    const parts = keyParts(key);
    const record = this.#read(table.name, parts);
    return record === undefined ? undefined : decodeRow(table, parts, record);
  }

  /** All values of a table in key order, as they are now. */
  values<Value>(table: Table<Value>): Value[] {
    return Array.from(this.entries(table, []), ({ value }) => value);
  }

  /**
   * The values whose keys begin with these parts, in key order, as they are now. Consume it before anything is
   * awaited: it holds a place in LMDB's snapshot. Longer walks take `page`.
   */
  *entries<Value>(table: Table<Value>, prefix: KeyParts): Iterable<Entry<Value>> {
    for (const { key, record } of this.#records(table.name, prefix)) {
      yield { key, value: decodeRow(table, key, record) };
    }
  }

  /** Up to `limit` entries behind a key; fewer only at the end. */
  page<Value>(
    table: Table<Value>,
    prefix: KeyParts,
    place: { readonly after: TableKey | undefined; readonly limit: number },
  ): Entry<Value>[] {
    const rows: Entry<Value>[] = [];
    for (const { key, record } of this.#records(table.name, prefix, place)) {
      rows.push({ key, value: decodeRow(table, key, record) });
    }
    return rows;
  }

  /**
   * Tells what every action changes, in order, while the action is taken into its commit: before it is durable, and
   * also when that commit fails afterwards. A listener that throws makes the action fail.
   */
  observe(listener: ChangeListener): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  /**
   * Runs an action on the newest state and resolves with its result once its changes are durable. The action must
   * not wait for anything. What it throws is thrown here, and then nothing of it is kept.
   * @throws RESOURCE_EXHAUSTED when the disk is full: nothing of the action is kept
   */
  async write<Result>(
    action: (transaction: Transaction) => Result,
    options: WriteOptions = {},
  ): Promise<Result> {
    if (!this.#open) throw unavailable("Cannot write metadata: it is closed", { reason: "metadata-closed" });
    if (this.#waiting.length >= WRITES_WAITING_MAX) {
      throw resourceExhausted(`Cannot write metadata: at most ${WRITES_WAITING_MAX} writes may wait`, {
        reason: "metadata-overloaded",
      });
    }
    return await new Promise<Result>((resolve, reject) => {
      const isRemoval = options.isRemoval === true;
      this.#waiting.push({ action, isRemoval, resolve: (value) => resolve(value as Result), reject });
      this.#commits ??= this.#commitAll();
    });
  }

  /** Waits for running writes, then lets go of the folder. Safe to call twice. */
  async close(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    await this.#commits;
    await this.#root?.close();
    await this.#room[Symbol.asyncDispose]();
    await this.#lock[Symbol.asyncDispose]();
  }

  async #commitAll(): Promise<void> {
    // Lets everything that comes in this turn of the loop share the first commit.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const group = this.#waiting.splice(0);
      try {
        await this.#commitGroup(group);
      } catch (thrown) {
        for (const { reject } of group) reject(thrown);
      }
    }
    this.#commits = undefined;
  }

  async #commitGroup(group: readonly Waiting[]): Promise<void> {
    const all = new Transaction({
      read: (table, key) => this.#read(table, key),
      records: (table, prefix) => this.#records(table, prefix),
    });
    const done: (() => void)[] = [];
    const failed: ((reason: unknown) => void)[] = [];
    const free = await this.#freeBytes();
    for (const { action, isRemoval, resolve, reject } of group) {
      const own = new Transaction(all);
      try {
        const result = action(own);
        if (free < this.#reserveBytes && !isRemoval && !own.isEmpty) throw diskFull();
        if (!own.isEmpty) {
          const changes = [...own.changes()];
          for (const listener of this.#listeners) listener(changes);
          all.absorb(changes);
        }
        done.push(() => resolve(result));
        failed.push(reject);
      } catch (thrown) {
        reject(thrown);
      }
    }
    try {
      await this.#persist([...all.changes()]);
      for (const resolve of done) resolve();
    } catch (thrown) {
      for (const reject of failed) reject(thrown);
    }
  }

  async #persist(changes: readonly Change[]): Promise<void> {
    if (changes.length === 0) return;
    try {
      await this.#room.take(changes);
    } catch (thrown) {
      throw failureOf(thrown);
    }
    try {
      await this.#commit(this.#opened(), changes);
    } catch (thrown) {
      const failure = await writeFailure(thrown);
      await this.#renew();
      throw failure;
    }
  }

  async #commit(root: RootDatabase, changes: readonly Change[]): Promise<void> {
    const single: Promise<unknown>[] = [];
    const batch = root.batch(() => {
      for (const { table, key, record } of changes) {
        const store = this.#store(table);
        single.push(record === undefined ? store.remove(storeKey(key)) : store.put(storeKey(key), record));
      }
    });
    // Each of them rejects on its own beside the batch when the commit fails.
    for (const promise of single) promise.catch(() => undefined);
    await batch;
    await root.flushed;
  }

  /** After a commit that failed: LMDB refuses everything once it could not write a meta page. */
  async #renew(): Promise<void> {
    const root = this.#root;
    this.#root = undefined;
    this.#stores.clear();
    await root?.close();
    try {
      this.#root = this.#reopen();
    } catch {
      // The next use tries again and tells.
    }
  }

  /** @throws UNAVAILABLE, RESOURCE_EXHAUSTED while LMDB can't be opened again after a commit that failed */
  #opened(): RootDatabase {
    if (this.#root !== undefined) return this.#root;
    if (!this.#open) throw unavailable("Cannot read metadata: it is closed", { reason: "metadata-closed" });
    try {
      this.#root = this.#reopen();
      return this.#root;
    } catch (cause) {
      throw failureOf(cause, "open");
    }
  }

  #read(table: string, key: KeyParts): Buffer | undefined {
    return canBeKey(key) ? this.#store(table).get(storeKey(key)) : undefined;
  }

  *#records(
    table: string,
    prefix: KeyParts,
    place: { readonly after?: TableKey | undefined; readonly limit?: number } = {},
  ): Iterable<StoredRecord> {
    const { after, limit } = place;
    if (prefix.length > 0 && !canBeKey(prefix)) return;
    const start = after === undefined ? prefix : keyParts(after);
    const range = this.#store(table).getRange({
      ...(start.length === 0 ? {} : { start: storeKey(start), exclusiveStart: after !== undefined }),
      ...(prefix.length === 0 ? {} : { end: [...prefix, ABOVE_ALL] }),
      ...(limit === undefined ? {} : { limit }),
    });
    for (const { key, value } of range) yield { key: keyParts(key as TableKey | number), record: value };
  }

  #store(name: string): Store {
    let store = this.#stores.get(name);
    if (store === undefined) {
      try {
        store = this.#opened().openDB<Buffer, StoreKey>(name, { encoding: "binary" });
      } catch (cause) {
        // The first look at a table writes its name into the file.
        throw failureOf(cause);
      }
      this.#stores.set(name, store);
    }
    return store;
  }
}

/** @throws FAILED_PRECONDITION: another process has it, or it is of a newer lazuli; DATA_LOSS when it is damaged */
export async function openMetadata(options: MetadataOptions): Promise<Metadata> {
  const { directory, reserveBytes = RESERVE_BYTES } = options;
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await chmod(directory, 0o700);
  const lock = await lockFolder(directory);
  const freeBytes = recentFreeBytes(directory, reserveBytes);
  try {
    const path = join(directory, "metadata.lmdb");
    await checkMetadataFile(path);
    const reopen = (): RootDatabase => openRoot(path);
    const root = openChecked(path);
    await chmod(`${path}-lock`, 0o600);
    const room = await SpareRoom.open(path, reserveBytes).catch(async (thrown: unknown) => {
      await root.close();
      throw failureOf(thrown, "open");
    });
    const metadata = new Metadata({ root, reopen, room, lock, freeBytes, reserveBytes });
    try {
      await migrate(metadata, { directory, steps: migrations });
    } catch (thrown) {
      await metadata.close();
      throw thrown;
    }
    return metadata;
  } catch (thrown) {
    await lock[Symbol.asyncDispose]();
    throw thrown;
  }
}

/** A disk with plenty of room is looked at now and then only: a commit's own room is taken ahead of it. */
function recentFreeBytes(directory: string, reserveBytes: number): () => Promise<number> {
  let knownBytes = 0;
  let validUntilMs = 0;
  return async () => {
    if (knownBytes > reserveBytes + PLENTY_BYTES && performance.now() < validUntilMs) return knownBytes;
    const { bavail, bsize } = await statfs(directory);
    knownBytes = bavail * bsize;
    validUntilMs = performance.now() + FREE_BYTES_VALID_MS;
    return knownBytes;
  };
}

function openChecked(path: string): RootDatabase {
  try {
    return openRoot(path);
  } catch (cause) {
    const { code } = cause as { code?: unknown };
    // Names and numbers above 0 are errnos; LMDB's own numbers lie below.
    if (typeof code === "string" || (typeof code === "number" && code > 0)) throw failureOf(cause, "open");
    throw damaged(path, LazuliError.from(cause).message, cause);
  }
}

function openRoot(path: string): RootDatabase {
  requireDescriptors();
  const root = open({
    path,
    noSubdir: true,
    encoding: "binary",
    maxDbs: TABLES_MAX,
    // A commit is visible only when it is synced; with overlapping syncs `flushed` can take half a second.
    overlappingSync: false,
    // Batching by turns makes a promise beside ours that rejects on a full disk without anybody to handle it.
    eventTurnBatching: false,
  });
  // lmdb 3.5.6 opens its file for every program that this process starts, too.
  loadBinding().closeOnExec();
  return root;
}

/** lmdb 3.5.6 ends the process when an open within it fails. @throws EMFILE, ENFILE */
function requireDescriptors(): void {
  const held: number[] = [];
  try {
    while (held.length < DESCRIPTORS_FOR_LMDB) held.push(openSync("/dev/null", "r"));
  } finally {
    for (const descriptor of held) closeSync(descriptor);
  }
}

async function writeFailure(thrown: unknown): Promise<LazuliError> {
  const detail: unknown = (thrown as { commitError?: Promise<never> }).commitError;
  // LMDB's own error comes as a promise that rejects; left alone it would end the process.
  const cause = await Promise.resolve(detail).then(
    () => thrown,
    (reason: unknown) => reason,
  );
  return failureOf(cause);
}

/** LMDB's errors have the number of the errno as their code, Node's its name. */
function failureOf(cause: unknown, action = "write"): LazuliError {
  const { code } = cause as { code?: unknown };
  if (code === ENOSPC || code === "ENOSPC") return diskFull(cause);
  if (code === EMFILE || code === "EMFILE" || code === ENFILE || code === "ENFILE") {
    return resourceExhausted(`Cannot ${action} metadata: no file can be opened`, {
      reason: "metadata-no-files",
      hint: "Raise the limit of open files of the service (LimitNOFILE)",
      cause,
    });
  }
  return unavailable(`Cannot ${action} metadata: ${LazuliError.from(cause).message}`, {
    reason: `metadata-${action}-failed`,
    cause,
  });
}

function diskFull(cause?: unknown): LazuliError {
  return resourceExhausted("Cannot write metadata: the disk is full", {
    reason: "metadata-disk-full",
    hint: "Free space on the file system of lazuli's root",
    cause,
  });
}

function storeKey(key: KeyParts): StoreKey {
  return key.length === 1 && typeof key[0] === "string" ? key[0] : [...key];
}
