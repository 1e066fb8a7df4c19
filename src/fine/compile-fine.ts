import { unimplemented } from "../errors/index.js";
import { compileTar, readTarHeaders } from "../tar/index.js";
import type { DirectoryNode } from "../tree/index.js";
import type { Unit } from "../units/index.js";
import { DIGEST_SIZE, type FineTable } from "./fine-table.js";
import { type ParseFineOptions, parseFineTable } from "./parse-table.js";
import { refuseFine } from "./refusal.js";

export interface CompileFineOptions extends ParseFineOptions {
  /** What the table's packed tree decodes to. */
  readonly headers: Buffer;
}

export interface CompiledFine {
  readonly root: DirectoryNode;
  /** One for each leaf. */
  readonly units: Unit[];
  /** Bytes of the data file, which is the archive. */
  readonly dataSize: number;
}

/**
 * The tree of a layer, from the headers of its archive as a whole pull would read them, and its leaves as units.
 * @throws as parseFineTable() and the tar room; INVALID_ARGUMENT `fine-tree`; UNIMPLEMENTED `tar-sparse`
 */
export async function compileFine(options: CompileFineOptions): Promise<CompiledFine> {
  const { headers } = options;
  const table = parseFineTable(options);
  const { dataSize, treeSize } = table;
  if (headers.length !== treeSize) {
    throw refuseFine("fine-tree", `want a tree of ${treeSize} bytes, got ${headers.length}`);
  }
  const entries = readTarHeaders({ size: dataSize, headers });
  const { root, needsCopy } = await compileTar({ entries, tarSize: dataSize });
  if (needsCopy.some(({ parts }) => parts.length > 0)) {
    throw unimplemented("Cannot show the layer from its archive: it has sparse files", {
      reason: "tar-sparse",
    });
  }
  return { root, units: unitsOf(table), dataSize };
}

function unitsOf({ codec, leafSize, spans, leaves }: FineTable): Unit[] {
  const units: Unit[] = [];
  for (const span of spans) {
    for (let inner = 0; inner < span.dataLength; inner += leafSize) {
      const at = units.length * DIGEST_SIZE;
      const dataLength = Math.min(leafSize, span.dataLength - inner);
      const isRaw = codec === "raw";
      units.push({
        dataOffset: span.dataOffset + inner,
        dataLength,
        blobOffset: isRaw ? inner : span.blobOffset,
        blobLength: isRaw ? dataLength : span.blobLength,
        innerOffset: isRaw ? 0 : inner,
        sha256: leaves.subarray(at, at + DIGEST_SIZE),
        codec: codec === "gzip" ? "deflateLeaf" : codec,
        ...(codec === "gzip" ? { span: { bits: span.bits, windowCrc: span.window.crc } } : {}),
      });
    }
  }
  return units;
}
