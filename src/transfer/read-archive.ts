import { posix } from "node:path";
import { type Digest, textOfBytes } from "../bytes/index.js";
import type { ContentStore, IngestWriter } from "../content/index.js";
import { assert, invalidArgument, LazuliError, resourceExhausted } from "../errors/index.js";
import { type TarEntry, TarReader } from "../tar/index.js";
import { openWriter } from "./open-writer.js";
import { hasCode, inContext } from "./transfer-errors.js";

/** A file of an archive as it lies in the store. */
export interface StoredFile {
  readonly digest: Digest;
  readonly size: number;
}

/** What an archive of images has. */
export interface ArchiveFiles {
  /** By cleaned path; links lead to what they point at. */
  readonly files: ReadonlyMap<string, StoredFile>;
  /** Of `oci-layout`; undefined where there is none. */
  readonly layout: Buffer | undefined;
  /** Of Docker's `manifest.json`. */
  readonly dockerManifest: Buffer | undefined;
  /** Path of a symbolic link to the path that it points at. */
  readonly links: ReadonlyMap<string, string>;
}

/** Files of an archive; an image has hundreds, and one beyond it ends the import. */
const FILES_MAX = 100_000;
/** Of `oci-layout` and `manifest.json` (containerd's jsonLimit). */
const JSON_BYTES_MAX = 20 * 1024 * 1024;

/** Puts the files of an archive into the store as blobs. @throws what the reader and the store throw */
export async function readArchive(options: {
  readonly store: ContentStore;
  readonly bytes: AsyncIterable<Buffer>;
  readonly signal: AbortSignal;
}): Promise<ArchiveFiles> {
  await using reading = new ReadingArchive(options.store, options.signal);
  const reader = new TarReader();
  for await (const chunk of options.bytes) {
    options.signal.throwIfAborted();
    for (const event of reader.push(chunk)) {
      if (event.kind === "entry") await reading.entry(event.entry);
      else await reading.content(event.bytes);
    }
  }
  reader.end();
  options.signal.throwIfAborted();
  await reading.endFile();
  return reading.found;
}

interface OpenFile {
  readonly path: string;
  readonly size: number;
  readonly sink:
    | { readonly kind: "text"; readonly pieces: Buffer[] }
    | { readonly kind: "blob"; readonly writer: IngestWriter };
}

class ReadingArchive implements AsyncDisposable {
  readonly #store: ContentStore;
  readonly #signal: AbortSignal;
  readonly #files = new Map<string, StoredFile>();
  readonly #links = new Map<string, string>();
  readonly #texts = new Map<string, Buffer>();
  #open: OpenFile | undefined;

  constructor(store: ContentStore, signal: AbortSignal) {
    this.#store = store;
    this.#signal = signal;
  }

  get found(): ArchiveFiles {
    return {
      files: this.#files,
      links: this.#links,
      layout: this.#texts.get("oci-layout"),
      dockerManifest: this.#texts.get("manifest.json"),
    };
  }

  async entry(entry: TarEntry): Promise<void> {
    await this.endFile();
    const name = textOfBytes(entry.name);
    if (entry.kind === "symlink") {
      this.#links.set(posix.normalize(name), posix.join(posix.dirname(name), textOfBytes(entry.linkName)));
    }
    if (entry.kind !== "file") return;
    if (entry.sparse !== undefined) {
      throw invalidArgument(`Cannot import ${JSON.stringify(name)}: it is a sparse file`, {
        subject: name,
        reason: "archive-sparse",
      });
    }
    if (this.#files.size + this.#links.size >= FILES_MAX) {
      throw resourceExhausted(`Cannot import: want at most ${FILES_MAX} files, got more`, {
        reason: "archive-files-max",
      });
    }
    const path = posix.normalize(name).replace(/\/$/, "");
    const { size } = entry;
    if (path !== "oci-layout" && path !== "manifest.json") {
      this.#open = { path, size, sink: { kind: "blob", writer: await this.#writer(path, size) } };
      return;
    }
    if (size > JSON_BYTES_MAX) {
      throw resourceExhausted(`Cannot import ${path}: want at most ${JSON_BYTES_MAX} bytes, got ${size}`, {
        subject: path,
        reason: "archive-json-max",
      });
    }
    this.#open = { path, size, sink: { kind: "text", pieces: [] } };
  }

  async content(bytes: Buffer): Promise<void> {
    const sink = this.#open?.sink;
    // The writer takes a buffer as its own, and a piece is a part of one that is used again.
    if (sink?.kind === "blob") await sink.writer.write(Buffer.from(bytes));
    else sink?.pieces.push(Buffer.from(bytes));
  }

  async endFile(): Promise<void> {
    const open = this.#open;
    if (open === undefined) return;
    this.#open = undefined;
    const { path, size, sink } = open;
    if (sink.kind === "text") {
      this.#texts.set(path, Buffer.concat(sink.pieces));
      return;
    }
    const { writer } = sink;
    const digest = writer.digest();
    try {
      await writer.commit({ size, expected: undefined, labels: {} });
    } catch (thrown) {
      if (!hasCode(thrown, "ALREADY_EXISTS"))
        throw inContext(`failed to ingest ${JSON.stringify(path)}`, thrown);
      await this.#drop(writer);
    }
    this.#files.set(path, { digest, size });
  }

  /** What a broken archive left half written is of no use for the next try: its ref only names a place in the archive. */
  async [Symbol.asyncDispose](): Promise<void> {
    const sink = this.#open?.sink;
    if (sink?.kind === "blob") await this.#drop(sink.writer);
  }

  async #writer(path: string, size: number): Promise<IngestWriter> {
    try {
      const signal = this.#signal;
      const ingest = { ref: `tar-${path}`, total: size, expected: undefined, signal };
      const writer = await openWriter(this.#store, ingest);
      assert(writer !== undefined, "an ingest that expects no digest finds no blob");
      if (writer.offset > 0) await writer.truncate(0);
      return writer;
    } catch (thrown) {
      throw inContext(`failed to ingest ${JSON.stringify(path)}`, thrown);
    }
  }

  async #drop(writer: IngestWriter): Promise<void> {
    await writer.close();
    await this.#store.abort(writer.ref).catch((thrown: unknown) => {
      if (LazuliError.from(thrown).code !== "NOT_FOUND") throw thrown;
    });
  }
}
