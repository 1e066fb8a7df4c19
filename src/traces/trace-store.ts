import { mkdir, readdir, unlink } from "node:fs/promises";
import { join } from "node:path";
import pLimit from "p-limit";
import type { Digest } from "../bytes/index.js";
import { LazuliError, notFound } from "../errors/index.js";
import { placeFile } from "../files/index.js";
import { log } from "../observe/index.js";
import type { StartTrace } from "./contract.js";
import { traceSavedChannel } from "./events.js";
import { type TraceFigures, traceFigures } from "./figures.js";
import { TRACES_BYTES_MAX, TRACES_MAX, TRACES_OF_IMAGE_MAX } from "./limits.js";
import { idsOf, readTraceBytes, readTraceFile, SUFFIX } from "./trace-files.js";
import { isTraceId } from "./trace-id.js";
import { decodeTrace, encodeTrace } from "./trace-json.js";

/** A trace without its touches and requests. */
export type TraceSummary = Omit<StartTrace, "version" | "layers" | "touches" | "requests"> & {
  readonly layers: number;
  readonly figures: TraceFigures;
};

/** Which traces are asked for; a field that is left out fits all. */
export interface TraceQuery {
  readonly reference?: string | undefined;
  readonly manifest?: Digest | undefined;
}

/** The traces of a node on disk, at most TRACES_MAX of them. */
export interface TraceStore {
  /** In the order of time. */
  list(query?: TraceQuery): readonly TraceSummary[];
  /** @throws NOT_FOUND, DATA_LOSS */
  read(id: string): Promise<StartTrace>;
  /** The youngest that fits. */
  latest(query?: TraceQuery): Promise<StartTrace | undefined>;
  /** Writes the trace, lets old ones go, and tells `traceSavedChannel`. */
  save(trace: StartTrace): Promise<void>;
}

const TEMPORARY_SUFFIX = ".new";
/** Files that are read at once when the store opens. */
const OPEN_CONCURRENCY = 4;

/** Opens the store, making its folder where there is none. A file that is no trace is left out with a warning. */
export async function openTraceStore({ folder }: { readonly folder: string }): Promise<TraceStore> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const limit = pLimit(OPEN_CONCURRENCY);
  const names = await readdir(folder);
  await Promise.all(
    names.filter((name) => name.endsWith(TEMPORARY_SUFFIX)).map((name) => unlink(join(folder, name))),
  );
  const ids = idsOf(names).filter(isTraceId);
  const entries = await Promise.all(ids.map((id) => limit(async () => await openEntry(folder, id))));
  return new FolderTraceStore(folder, entries);
}

interface Entry {
  readonly id: string;
  readonly sizeBytes: number;
  /** undefined: the file is no trace; it goes when it is the oldest. */
  readonly summary: TraceSummary | undefined;
}

class FolderTraceStore implements TraceStore {
  readonly #folder: string;
  readonly #entries: Map<string, Entry>;
  /** One write at a time. */
  readonly #writing = pLimit(1);

  constructor(folder: string, entries: readonly Entry[]) {
    this.#folder = folder;
    this.#entries = new Map(entries.map((entry) => [entry.id, entry]));
  }

  list(query: TraceQuery = {}): readonly TraceSummary[] {
    return this.#sorted()
      .map(({ summary }) => summary)
      .filter((summary) => summary !== undefined && isWanted(summary, query)) as TraceSummary[];
  }

  async read(id: string): Promise<StartTrace> {
    if (this.#entries.get(id)?.summary === undefined) {
      throw notFound(`Trace "${id.slice(0, 80)}" does not exist`, {
        subject: id,
        reason: "trace-unknown",
        hint: "`lazuli trace ls` lists the traces of this node",
      });
    }
    return await readTraceFile(this.#folder, id);
  }

  async latest(query: TraceQuery = {}): Promise<StartTrace | undefined> {
    const found = this.list(query).at(-1);
    return found === undefined ? undefined : await this.read(found.id);
  }

  async save(trace: StartTrace): Promise<void> {
    const summary = summaryOf(trace);
    await this.#writing(async () => {
      const bytes = encodeTrace(trace);
      // A power cut may cost the last traces, and a half one is left out.
      const path = join(this.#folder, `${trace.id}${SUFFIX}`);
      await placeFile(path, bytes, { temporary: `${path}${TEMPORARY_SUFFIX}` });
      this.#entries.set(trace.id, { id: trace.id, sizeBytes: bytes.length, summary });
      await this.#trim(summary);
    });
    const { id, reference, manifest, figures } = summary;
    traceSavedChannel.publish({
      id,
      reference,
      manifest,
      touches: figures.touches,
      requests: figures.requests,
    });
  }

  async #trim({ reference }: TraceSummary): Promise<void> {
    const ofImage = this.#sorted().filter(({ summary }) => summary?.reference === reference);
    for (const { id } of ofImage.slice(0, Math.max(0, ofImage.length - TRACES_OF_IMAGE_MAX)))
      await this.#remove(id);
    const oldest = this.#sorted();
    let bytes = oldest.reduce((total, { sizeBytes }) => total + sizeBytes, 0);
    for (const [index, { id, sizeBytes }] of oldest.entries()) {
      if (oldest.length - index <= TRACES_MAX && bytes <= TRACES_BYTES_MAX) return;
      await this.#remove(id);
      bytes -= sizeBytes;
    }
  }

  async #remove(id: string): Promise<void> {
    this.#entries.delete(id);
    await unlink(join(this.#folder, `${id}${SUFFIX}`)).catch((thrown: NodeJS.ErrnoException) => {
      if (thrown.code !== "ENOENT") throw thrown;
    });
  }

  #sorted(): readonly Entry[] {
    return [...this.#entries.values()].sort((left, right) => (left.id < right.id ? -1 : 1));
  }
}

function isWanted(summary: TraceSummary, { reference, manifest }: TraceQuery): boolean {
  if (reference !== undefined && summary.reference !== reference) return false;
  return manifest === undefined || summary.manifest === manifest;
}

function summaryOf(trace: StartTrace): TraceSummary {
  const { version: _, layers, touches: _touches, requests: _requests, ...facts } = trace;
  return { ...facts, layers: layers.length, figures: traceFigures(trace) };
}

async function openEntry(folder: string, id: string): Promise<Entry> {
  try {
    const bytes = await readTraceBytes(folder, id);
    return { id, sizeBytes: bytes.length, summary: summaryOf(decodeTrace(bytes)) };
  } catch (thrown) {
    log.warn("Left out a trace that can't be read; it goes when it is the oldest", {
      path: join(folder, `${id}${SUFFIX}`),
      error: LazuliError.from(thrown).message,
    });
    return { id, sizeBytes: 0, summary: undefined };
  }
}
