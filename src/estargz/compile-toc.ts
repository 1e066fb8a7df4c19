import { type JsonBudget, readJsonArray } from "../bytes/index.js";
import { assert } from "../errors/index.js";
import { type DirectoryNode, type OverlayFormReport, toOverlayForm } from "../tree/index.js";
import type { Unit, UnitCodec } from "../units/index.js";
import { ENTRIES_MAX, TOC_JSON_BYTES_MAX } from "./limits.js";
import { refuseToc, refuseTocSize } from "./refusal.js";
import { type Prefetch, TreeBuilder } from "./tree-builder.js";
import { layOutUnits } from "./unit-layout.js";

export interface CompileOptions {
  /** The JSON, verified against its digest. */
  readonly toc: Buffer;
  readonly blobSize: number;
  /** Bytes of the blob that can hold content; see openToc(). */
  readonly payloadEnd: number;
  /** Files begin at multiples of it in the data file. */
  readonly blockSize: number;
  /** How the streams are compressed; gzip unless given. */
  readonly codec?: UnitCodec | undefined;
  /** Heeds `chunkType` and `endOffset`, as containers/storage writes them; false unless given. */
  readonly withContainersFields?: boolean | undefined;
}

export interface TocFacts {
  /** Entries of the TOC, chunks included. */
  readonly entries: number;
  /** Inodes and further names of the tree, before whiteouts are converted. */
  readonly nodes: number;
  readonly hardlinks: number;
  /** Directories that no entry describes: they got mode 0755 and owner 0. */
  readonly impliedDirectories: number;
  /** Bytes of all files. */
  readonly bytes: number;
  readonly overlay: OverlayFormReport;
}

export interface CompiledToc {
  /** In overlay form: whiteouts are devices and attributes. */
  readonly root: DirectoryNode;
  /** In the order of data file and blob, as encodeUnitTable() wants them. */
  readonly units: Unit[];
  readonly dataSize: number;
  readonly prefetch: Prefetch;
  readonly facts: TocFacts;
}

/** What the JSON of a TOC may cost to be parsed. */
export const tocBudget: JsonBudget = {
  maxBytes: TOC_JSON_BYTES_MAX,
  // The document, its array, an entry, its xattrs; the rest is for keys of later writers.
  maxDepth: 16,
  // An entry has at most 20 fields; xattrs are on top.
  maxNodes: ENTRIES_MAX * 24,
};

/**
 * Turns a TOC into the tree and the units of a layer. Refuses whatever could make the lazy view differ from that of
 * an unpacked layer.
 *
 * @throws INVALID_ARGUMENT with a TocReason, RESOURCE_EXHAUSTED with a TocLimit, or what parseJson() throws
 */
export function compileToc(options: CompileOptions): CompiledToc {
  const { toc, blobSize, payloadEnd, blockSize, codec = "gzip", withContainersFields = false } = options;
  assert(payloadEnd <= blobSize, "the payload ends inside the blob");
  const reader = readJsonArray(toc, "entries", tocBudget);
  checkHead(reader.head);
  if (reader.count > ENTRIES_MAX) {
    throw refuseTocSize("toc-too-many-entries", `want at most ${ENTRIES_MAX} entries, got ${reader.count}`);
  }
  const builder = new TreeBuilder({ payloadEnd, withContainersFields });
  let index = 0;
  for (const batch of reader.batches) {
    for (const fields of batch) {
      if (typeof fields !== "object" || fields === null || Array.isArray(fields)) {
        throw refuseToc("toc-entry-malformed", "want an object", index);
      }
      builder.add({ fields: fields as Readonly<Record<string, unknown>>, index });
      index += 1;
    }
  }
  builder.finish();
  const { chunks, dropped } = builder;
  const { units, dataSize } = layOutUnits({ chunks, dropped, payloadEnd, blockSize, codec });
  const overlay = toOverlayForm(builder.root);
  return {
    root: builder.root,
    units,
    dataSize,
    prefetch: builder.prefetch,
    facts: {
      entries: reader.count,
      nodes: builder.nodes,
      hardlinks: builder.hardlinks,
      impliedDirectories: builder.implied.size,
      bytes: chunks.dataBytes,
      overlay,
    },
  };
}

function checkHead(head: unknown): void {
  if (typeof head !== "object" || head === null || Array.isArray(head)) {
    throw refuseToc("toc-malformed", "want an object at the top");
  }
  const fields = head as Readonly<Record<string, unknown>>;
  if (!Object.hasOwn(fields, "version") || fields.version !== 1) {
    throw refuseToc("toc-version", "want version 1");
  }
  // Writers of an empty layer leave null there.
  if (!Object.hasOwn(fields, "entries") || (fields.entries !== null && !Array.isArray(fields.entries))) {
    throw refuseToc("toc-malformed", "want an array of entries");
  }
}
