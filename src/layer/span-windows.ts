import { type FileHandle, open, readFile } from "node:fs/promises";
import { type Digest, sha256 } from "../bytes/index.js";
import { dataLoss, LazuliError, unavailable } from "../errors/index.js";
import { type FineSpan, parseFineTable, unpackWindow, windowCrc } from "../fine/index.js";
import type { BlobSource } from "../registry/index.js";
import { type UnitTable, WINDOW_SIZE } from "../units/index.js";
import { fetchedChannel } from "./events.js";
import type { UnitPlane } from "./layer-fetcher.js";
import type { LayerRecord } from "./layer-record.js";
import type { LazySource } from "./lazy-source.js";
import { WINDOWS_REQUEST_BYTES_MAX } from "./limits.js";
import type { LayerPaths } from "./paths.js";
import type { RequestPlan } from "./plan-request.js";
import type { UnitLedger } from "./unit-ledger.js";

/** A request that takes so many round trips waits for its windows, which take one. */
const LONG_ROUND_TRIPS = 3;

export interface SpanWindowsOptions {
  readonly record: Pick<LayerRecord, "digest" | "indexDigest" | "blobSize">;
  readonly paths: Pick<LayerPaths, "data" | "windows" | "table">;
  readonly units: UnitTable;
  readonly ledger: UnitLedger;
  /** Opens another blob of the layer's repository, when a byte of it is needed. */
  readonly sourceOf: (blob: { readonly digest: Digest; readonly size: number }) => LazySource;
  readonly decompress: (frame: Uint8Array, maxSize: number) => Promise<Buffer>;
}

interface Table {
  readonly spans: readonly FineSpan[];
  /** The first unit of each span. */
  readonly firstUnits: readonly number[];
  readonly source: LazySource;
}

/**
 * The windows of a layer that was indexed by us: each is brought when the first of its span's units is about to be decoded,
 * from the data before the span where that is here, else from the blob that has them, and is kept in the layer's file.
 * What stands in that file is told from a hole by its CRC-32: nothing else is remembered.
 */
export class SpanWindows {
  readonly #options: SpanWindowsOptions;
  readonly #ready = new Set<number>();
  readonly #coming = new Map<number, Promise<void>>();
  readonly #ending = new AbortController();
  #table: Promise<Table> | undefined;
  #fetchedBytes = 0;

  constructor(options: SpanWindowsOptions) {
    this.#options = options;
  }

  /** Bytes that windows have cost. */
  get fetchedBytes(): number {
    return this.#fetchedBytes;
  }

  /**
   * Returns when these units can be decoded. Called before the request for their bytes is answered as well, so that both
   * are on their way at once. @throws DATA_LOSS `fine-window-mismatch`, `index-table-damaged`; as the source
   */
  async bring(first: number, last: number): Promise<void> {
    const table = await this.#open();
    const { units } = this.#options;
    const end = this.#spanAt(table, units.dataOffset(last));
    const wanted: number[] = [];
    const waits: Promise<void>[] = [];
    for (let span = this.#spanAt(table, units.dataOffset(first)); span <= end; span += 1) {
      const coming = this.#coming.get(span);
      if (coming !== undefined) waits.push(coming);
      else if (!this.#ready.has(span) && table.spans[span]!.window.length > 0) wanted.push(span);
    }
    if (wanted.length > 0) {
      const bringing = this.#bringAll(table, wanted).finally(() => {
        for (const span of wanted) this.#coming.delete(span);
      });
      for (const span of wanted) this.#coming.set(span, bringing);
      waits.push(bringing);
    }
    await Promise.all(waits);
  }

  /**
   * Brings the windows for a request that is about to be made. Where that takes longer than a round trip it has to wait
   * for them: they would come behind all its bytes, and no read could be answered before.
   */
  ahead(
    { firstUnit, lastUnit, length }: RequestPlan,
    bytesPerRoundTrip: number | undefined,
  ): Promise<void> | undefined {
    // What fails here fails again where it is waited for.
    const bringing = this.bring(firstUnit, lastUnit).catch(() => undefined);
    const isLong = bytesPerRoundTrip !== undefined && length > bytesPerRoundTrip * LONG_ROUND_TRIPS;
    return isLong ? bringing : undefined;
  }

  /** The plane with units that are decoded when their windows are here. */
  decoding(plane: UnitPlane): UnitPlane {
    return {
      ingest: async (options) => {
        await this.bring(options.firstUnit, options.lastUnit);
        return await plane.ingest(options);
      },
      failReads: (...words) => plane.failReads(...words),
      presence: (layer) => plane.presence(layer),
    };
  }

  /** Ends what is under way. */
  close(): void {
    this.#ending.abort(unavailable("The layer is closed", { reason: "layer-closed" }));
  }

  async #open(): Promise<Table> {
    this.#table ??= this.#read();
    try {
      return await this.#table;
    } catch (thrown) {
      this.#table = undefined;
      throw thrown;
    }
  }

  async #read(): Promise<Table> {
    const { record, paths, sourceOf } = this.#options;
    const { digest: layer, indexDigest, blobSize } = record;
    const bytes = await readFile(paths.table);
    if (sha256(bytes) !== indexDigest) {
      throw dataLoss(`Cannot use ${paths.table}: it is damaged`, {
        subject: layer,
        reason: "index-table-damaged",
      });
    }
    const { spans, leafSize, windows } = parseFineTable({ table: bytes, layer, blobSize });
    const firstUnits: number[] = [];
    let unit = 0;
    for (const { dataLength } of spans) {
      firstUnits.push(unit);
      unit += Math.ceil(dataLength / leafSize);
    }
    // The table's bytes are large, and only the places of windows are needed.
    const kept = spans.map((span) => ({
      ...span,
      window: { ...span.window, sha256: Buffer.from(span.window.sha256) },
    }));
    return { spans: kept, firstUnits, source: sourceOf(windows ?? { digest: layer, size: blobSize }) };
  }

  #spanAt({ spans }: Table, dataOffset: number): number {
    let low = 0;
    let high = spans.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (spans[middle]!.dataOffset <= dataOffset) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  async #bringAll(table: Table, wanted: readonly number[]): Promise<void> {
    const { paths } = this.#options;
    const windows = await open(paths.windows, "r+");
    try {
      const missing: number[] = [];
      for (const span of wanted) {
        if (!(await this.#isHere(table, span, windows))) missing.push(span);
      }
      for (let at = 0; at < missing.length; ) {
        const run = runOf(table.spans, missing, at);
        await this.#fetch(table, run, windows);
        at += run.length;
      }
    } finally {
      await windows.close();
    }
    for (const span of wanted) this.#ready.add(span);
  }

  async #isHere(table: Table, span: number, windows: FileHandle): Promise<boolean> {
    const { crc } = table.spans[span]!.window;
    const place = table.firstUnits[span]! * WINDOW_SIZE;
    const kept = await readAt(windows, place);
    if (windowCrc(kept) === crc) return true;
    const before = await this.#dataBefore(table, span);
    if (before === undefined || windowCrc(before) !== crc) return false;
    await writeAt(windows, before, place);
    return true;
  }

  /** What the data file has before a span, where it has all of that. */
  async #dataBefore({ spans, firstUnits }: Table, span: number): Promise<Buffer | undefined> {
    const { units, ledger, paths } = this.#options;
    const start = spans[span]!.dataOffset;
    const from = Math.max(0, start - WINDOW_SIZE);
    const last = firstUnits[span]! - 1;
    let first = last;
    while (first > 0 && units.dataOffset(first) > from) first -= 1;
    if (!ledger.hasAll(first, last)) return undefined;
    const window = Buffer.alloc(WINDOW_SIZE);
    const data = await open(paths.data, "r");
    try {
      await data.read(window, WINDOW_SIZE - (start - from), start - from, from);
    } finally {
      await data.close();
    }
    return window;
  }

  /** Neighbours in one request. Wrong bytes are asked for once more, of another mirror where there is one. */
  async #fetch(table: Table, run: readonly number[], windows: FileHandle): Promise<void> {
    const { spans, source } = table;
    const { signal } = this.#ending;
    const { offset } = spans[run[0]!]!.window;
    const end = spans[run.at(-1)!]!.window;
    const range = { offset, length: end.offset + end.length - offset };
    const attempt = async (): Promise<void> => {
      const bytes = await this.#readRange(await source.get(signal), range);
      for (const span of run) {
        const { window } = spans[span]!;
        const packed = bytes.subarray(window.offset - offset, window.offset - offset + window.length);
        const unpacked = await unpackWindow({ packed, window, decompress: this.#options.decompress });
        await writeAt(windows, unpacked, table.firstUnits[span]! * WINDOW_SIZE);
      }
    };
    try {
      await attempt();
    } catch (thrown) {
      const error = LazuliError.from(thrown);
      if (error.reason !== "fine-window-mismatch") {
        source.failed(error);
        throw error;
      }
      source.distrust(range);
      await attempt();
    }
  }

  async #readRange(
    source: BlobSource,
    range: { readonly offset: number; readonly length: number },
  ): Promise<Buffer> {
    const { digest } = this.#options.record;
    const pieces: Buffer[] = [];
    for await (const piece of source.readRange({ ...range, signal: this.#ending.signal })) {
      this.#fetchedBytes += piece.length;
      fetchedChannel.publish({ digest, priority: "index", bytes: piece.length });
      pieces.push(piece);
    }
    return Buffer.concat(pieces);
  }
}

/** Spans from `at` on that are neighbours in the blob of windows, as far as one request goes. */
function runOf(spans: readonly FineSpan[], missing: readonly number[], at: number): number[] {
  const run = [missing[at]!];
  const { offset } = spans[run[0]!]!.window;
  for (const span of missing.slice(at + 1)) {
    const before = spans[run.at(-1)!]!.window;
    const { window } = spans[span]!;
    const isNext = window.offset === before.offset + before.length;
    if (!isNext || window.offset + window.length - offset > WINDOWS_REQUEST_BYTES_MAX) break;
    run.push(span);
  }
  return run;
}

async function readAt(file: FileHandle, offset: number): Promise<Buffer> {
  const { buffer } = await file.read(Buffer.alloc(WINDOW_SIZE), 0, WINDOW_SIZE, offset);
  return buffer;
}

async function writeAt(file: FileHandle, window: Buffer, offset: number): Promise<void> {
  for (let done = 0; done < window.length; ) {
    const { bytesWritten } = await file.write(window, done, window.length - done, offset + done);
    done += bytesWritten;
  }
}
