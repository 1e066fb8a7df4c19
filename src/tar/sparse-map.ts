import type { ByteString } from "../bytes/index.js";
import type { SparsePart } from "./entry.js";
import { SPARSE_PARTS_MAX } from "./limits.js";
import { safeDecimal, safeField } from "./numbers.js";
import { type PaxRecords, SPARSE_MAP } from "./pax-records.js";
import { refuseTar, refuseTarSize } from "./refusal.js";

const PART_BYTES = 24;
const NEWLINE = 0x0a;
/** A number of a map in contents has at most 19 digits; what is longer is not collected. */
const TOKEN_BYTES_MAX = 64;

/** How GNU tar describes a sparse file in PAX records. */
export type SparseDialect = "0.x" | "1.0" | undefined;

const key = (name: string): ByteString => name as ByteString;

export function sparseDialect(pax: PaxRecords): SparseDialect {
  const [major = "", minor = ""] = [pax.get(key("GNU.sparse.major")), pax.get(key("GNU.sparse.minor"))];
  if (major === "0" && (minor === "0" || minor === "1")) return "0.x";
  if (major === "1" && minor === "0") return "1.0";
  // A version that nobody knows makes the file an ordinary one, as in Go.
  if (major !== "" || minor !== "") return undefined;
  return (pax.get(SPARSE_MAP) ?? "") === "" ? undefined : "0.x";
}

/** The name and size that a sparse file really has, where its records say so. */
export function sparseFacts(
  pax: PaxRecords,
  offset: number,
): { readonly name: ByteString | undefined; readonly size: number | undefined } {
  const name = pax.get(key("GNU.sparse.name"));
  const size = pax.get(key("GNU.sparse.size")) || pax.get(key("GNU.sparse.realsize"));
  return {
    name: name === "" ? undefined : name,
    size: size ? safeDecimal(size, { field: "GNU.sparse.size", offset }) : undefined,
  };
}

/** The map of the formats 0.0 and 0.1: all numbers in one record. */
export function sparseMapOfPax(pax: PaxRecords, offset: number): SparsePart[] {
  const count = safeDecimal(pax.get(key("GNU.sparse.numblocks")) ?? "", {
    field: "GNU.sparse.numblocks",
    offset,
  });
  const text = pax.get(SPARSE_MAP) ?? "";
  const numbers = text === "" ? [] : text.split(",");
  if (numbers.length !== 2 * count) {
    throw refuseTar("tar-sparse", `want ${count} regions, got ${numbers.length} numbers`, offset);
  }
  return partsOf(numbers, offset);
}

function partsOf(numbers: readonly string[], offset: number): SparsePart[] {
  const place = { field: "a sparse map", offset };
  const parts: SparsePart[] = [];
  for (let at = 0; at < numbers.length; at += 2) {
    parts.push({ offset: safeDecimal(numbers[at]!, place), length: safeDecimal(numbers[at + 1]!, place) });
  }
  return parts;
}

/** The map of old GNU archives: some regions in the header, more in blocks behind it. */
export class OldSparseMap {
  readonly parts: SparsePart[] = [];
  readonly #offset: number;

  constructor(offset: number) {
    this.#offset = offset;
  }

  /** @returns whether another block with regions comes */
  add(regions: Buffer): boolean {
    const places = Math.floor(regions.length / PART_BYTES);
    const place = { field: "a sparse map", offset: this.#offset };
    for (let index = 0; index < places; index++) {
      const at = index * PART_BYTES;
      if (regions[at] === 0) break;
      const part = {
        offset: safeField(regions.subarray(at, at + 12), place),
        length: safeField(regions.subarray(at + 12, at + PART_BYTES), place),
      };
      if (this.parts.length >= SPARSE_PARTS_MAX) throw tooLong(this.#offset);
      this.parts.push(part);
    }
    return regions[places * PART_BYTES]! > 0;
  }
}

/** The map of format 1.0: decimal numbers in lines, at the start of the file's bytes. */
export class SparseMapReader {
  readonly #offset: number;
  readonly #numbers: number[] = [];
  #token = "";
  #wanted = 1;

  constructor(offset: number) {
    this.#offset = offset;
  }

  /** @returns whether the map is whole; what is left of the block is padding */
  add(block: Buffer): boolean {
    for (const byte of block) {
      if (this.#numbers.length >= this.#wanted) return true;
      if (byte !== NEWLINE) {
        this.#token += String.fromCharCode(byte);
        if (this.#token.length > TOKEN_BYTES_MAX) {
          throw refuseTar("tar-sparse", "a line of a sparse map is too long", this.#offset);
        }
        continue;
      }
      this.#numbers.push(safeDecimal(this.#token, { field: "a sparse map", offset: this.#offset }));
      this.#token = "";
      if (this.#numbers.length === 1) this.#setCount(this.#numbers[0]!);
    }
    return this.#numbers.length >= this.#wanted;
  }

  get parts(): SparsePart[] {
    const parts: SparsePart[] = [];
    for (let at = 1; at < this.#numbers.length; at += 2) {
      parts.push({ offset: this.#numbers[at]!, length: this.#numbers[at + 1]! });
    }
    return parts;
  }

  #setCount(count: number): void {
    if (count < 0) throw refuseTar("tar-sparse", `a sparse map has ${count} regions`, this.#offset);
    if (count > SPARSE_PARTS_MAX) throw tooLong(this.#offset);
    this.#wanted = 1 + 2 * count;
  }
}

/**
 * Checks a map against the file: in order, disjoint, inside it, and just as many bytes as there are.
 * @throws INVALID_ARGUMENT `tar-sparse`, `tar-sparse-data`
 */
export function checkSparse(
  parts: readonly SparsePart[],
  file: { readonly size: number; readonly packedSize: number; readonly offset: number },
): void {
  let end = 0;
  let bytes = 0;
  for (const part of parts) {
    if (part.length < 0 || part.offset < end || part.length > file.size - part.offset) {
      throw refuseTar(
        "tar-sparse",
        `a region of ${part.length} bytes at ${part.offset} does not fit a file of ${file.size} bytes`,
        file.offset,
      );
    }
    end = part.offset + part.length;
    bytes += part.length;
  }
  if (bytes !== file.packedSize) {
    throw refuseTar(
      "tar-sparse-data",
      `a sparse file has ${bytes} bytes by its map and ${file.packedSize} in the archive`,
      file.offset,
    );
  }
}

function tooLong(offset: number): Error {
  return refuseTarSize("tar-sparse-too-long", `want at most ${SPARSE_PARTS_MAX} regions`, offset);
}
