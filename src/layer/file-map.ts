import { readFile } from "node:fs/promises";
import { Worker } from "node:worker_threads";
import pLimit from "p-limit";
import { deferred, withSignal } from "../async/index.js";
import type { Digest } from "../bytes/index.js";
import { LazuliError, resourceExhausted, unavailable } from "../errors/index.js";
import { UnitTable } from "../units/index.js";
import type { LayerFormat, LoadOptions } from "./contract.js";
import type { FileMapAnswer, FileMapQuery, FilePart, FoundPart } from "./file-map-contract.js";
import type { FileMapReply } from "./file-map-worker.js";
import { decodeRecord } from "./layer-record.js";
import { FILE_MAP_HEAP_MIB, FILE_MAP_IDLE_MS, FILE_MAP_TIMEOUT_MS } from "./limits.js";
import { layerPaths } from "./paths.js";
import type { ReplayRange } from "./replay-contract.js";

export interface LayerUnits {
  readonly format: LayerFormat;
  /** Units that the ranges touch, in the order of the ranges, each once. */
  readonly units: readonly number[];
}

/**
 * What lies where in the layers of a node: pieces of files for ranges of decoded data, and back. It reads what is on disk,
 * on a thread that ends when nobody asks; no engine is needed.
 */
export class FileMaps implements AsyncDisposable {
  readonly #root: string;
  /** One question at a time: the thread shares the node's cores with those who start. */
  readonly #limit = pLimit(1);
  #worker: Worker | undefined;
  #idle: NodeJS.Timeout | undefined;
  #isClosed = false;

  /** `root` is the engine's. */
  constructor(options: { readonly root: string }) {
    this.#root = options.root;
  }

  /** Starts the thread, which takes some 40 ms, before the first question. */
  ready(): void {
    if (this.#worker !== undefined || this.#isClosed) return;
    this.#start();
    this.#endLater();
  }

  /** What lies in ranges that are disjoint, by range. @throws NOT_FOUND, DATA_LOSS, RESOURCE_EXHAUSTED */
  async filesIn(
    digest: Digest,
    ranges: readonly ReplayRange[],
    { signal }: LoadOptions = {},
  ): Promise<readonly FoundPart[]> {
    const { meta: metaPath } = layerPaths(this.#root, digest);
    const answer = await this.#ask({ kind: "files", metaPath, ranges }, signal);
    return answer.kind === "files" ? answer.parts : [];
  }

  /** Where pieces of files lie: undefined where there is no such file, or one of another size. @throws as filesIn() */
  async rangesOf(
    digest: Digest,
    files: readonly FilePart[],
    { signal }: LoadOptions = {},
  ): Promise<readonly (ReplayRange | undefined)[]> {
    const { meta: metaPath } = layerPaths(this.#root, digest);
    const answer = await this.#ask({ kind: "ranges", metaPath, files }, signal);
    return answer.kind === "ranges" ? answer.ranges : [];
  }

  /** @throws NOT_FOUND (as the system's error), DATA_LOSS */
  async unitsIn(digest: Digest, ranges: readonly ReplayRange[]): Promise<LayerUnits> {
    const { record, units: path } = layerPaths(this.#root, digest);
    const { format } = decodeRecord(await readFile(record));
    const table = new UnitTable(await readFile(path));
    const units = new Set<number>();
    for (const { offset, length } of ranges) {
      for (let unit = unitAt(table, offset); unit < table.count; unit += 1) {
        if (table.dataOffset(unit) >= offset + length) break;
        units.add(unit);
      }
    }
    return { format, units: [...units] };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#idle);
    await this.#worker?.terminate();
  }

  async #ask(query: FileMapQuery, signal: AbortSignal | undefined): Promise<FileMapAnswer> {
    return await this.#limit(async () => {
      signal?.throwIfAborted();
      if (this.#isClosed)
        throw unavailable("Cannot look through a layer: closed", { reason: "engine-closed" });
      clearTimeout(this.#idle);
      const worker = this.#worker ?? this.#start();
      worker.ref();
      try {
        const reply = await replyOf(worker, query, signal);
        worker.unref();
        this.#endLater();
        if (reply.ok) return reply.answer;
        const { code, message, reason } = reply;
        throw new LazuliError(code, message, {
          subject: query.metaPath,
          ...(reason === undefined ? {} : { reason }),
        });
      } catch (thrown) {
        // A thread with an unanswered question would answer the next one with it.
        if (!(thrown instanceof LazuliError && thrown.subject === query.metaPath)) await this.#end();
        throw thrown;
      }
    });
  }

  #start(): Worker {
    const worker = new Worker(new URL("./file-map-worker.js", import.meta.url), {
      resourceLimits: { maxOldGenerationSizeMb: FILE_MAP_HEAP_MIB },
      env: {},
    });
    // Whoever waits for a reply hears of the failure; an idle thread's concerns nobody.
    worker.on("error", () => undefined);
    worker.once("exit", () => {
      if (this.#worker === worker) this.#worker = undefined;
    });
    worker.unref();
    this.#worker = worker;
    return worker;
  }

  #endLater(): void {
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => void this.#end(), FILE_MAP_IDLE_MS);
    this.#idle.unref();
  }

  async #end(): Promise<void> {
    const worker = this.#worker;
    this.#worker = undefined;
    await worker?.terminate();
  }
}

/** The first unit that ends behind `offset`. */
function unitAt(table: UnitTable, offset: number): number {
  let low = 0;
  let high = table.count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (table.dataOffset(middle) + table.dataLength(middle) <= offset) low = middle + 1;
    else high = middle;
  }
  return low;
}

async function replyOf(
  worker: Worker,
  query: FileMapQuery,
  signal: AbortSignal | undefined,
): Promise<FileMapReply> {
  const answer = deferred<FileMapReply>();
  const tooMuch = (): void =>
    answer.reject(
      resourceExhausted(
        `Cannot look through a layer: want at most ${FILE_MAP_TIMEOUT_MS} ms and ${FILE_MAP_HEAP_MIB} MiB`,
        { reason: "file-map-too-large" },
      ),
    );
  const onMessage = (reply: FileMapReply): void => answer.resolve(reply);
  const timer = setTimeout(tooMuch, FILE_MAP_TIMEOUT_MS);
  worker.on("message", onMessage);
  worker.on("error", tooMuch);
  worker.on("exit", tooMuch);
  try {
    worker.postMessage(query);
    return await withSignal(answer.promise, signal);
  } finally {
    clearTimeout(timer);
    // A late failure, after the caller left, has nobody to go to.
    answer.promise.catch(() => undefined);
    worker.off("message", onMessage);
    worker.off("error", tooMuch);
    worker.off("exit", tooMuch);
  }
}
