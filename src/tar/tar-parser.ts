import { type ByteString, bytesOfText } from "../bytes/index.js";
import type { SparsePart, TarEntry } from "./entry.js";
import { type HeaderBlock, isZeroBlock, parseHeaderBlock, stringField } from "./header-block.js";
import { BLOCK_BYTES, ENTRIES_MAX, SPECIAL_BYTES_MAX, SPECIAL_HEADERS_MAX } from "./limits.js";
import { checkedSize, type EntryHead, isHeaderOnly, makeEntry } from "./make-entry.js";
import { safeField } from "./numbers.js";
import { type PaxRecords, parsePax } from "./pax-records.js";
import { refuseTar, refuseTarKind, refuseTarSize, shown } from "./refusal.js";
import {
  checkSparse,
  OldSparseMap,
  type SparseDialect,
  SparseMapReader,
  sparseDialect,
  sparseFacts,
  sparseMapOfPax,
} from "./sparse-map.js";

/** Bytes of the archive that the parser has to see next. */
export interface TarNeed {
  readonly offset: number;
  readonly length: number;
}

interface OldSparse {
  readonly kind: "old-sparse";
  readonly head: EntryHead;
  readonly size: number;
  readonly map: OldSparseMap;
}

interface Sparse1 {
  readonly kind: "sparse-1.0";
  readonly head: EntryHead;
  readonly map: SparseMapReader;
  /** Of the file's bytes, map and regions. */
  readonly end: number;
}

type State =
  | { readonly kind: "header" }
  | { readonly kind: "second-zero" }
  | { readonly kind: "special"; readonly header: HeaderBlock }
  | OldSparse
  | Sparse1;

interface EntryPlace {
  readonly dataOffset: number;
  readonly packedSize: number;
  readonly sparse?: readonly SparsePart[];
}

/** Of the regions in an old GNU header, with the flag behind them. */
const OLD_SPARSE_AT = 386;
const OLD_SPARSE_END = 483;

const HEADER: State = { kind: "header" };
const NOTHING = bytesOfText("");

/**
 * Go's archive/tar as a machine that is given the bytes it asks for: it never reads, waits or recurses, and holds at
 * most one extension header. Contents of files are skipped.
 */
export class TarParser {
  #state: State = HEADER;
  #need: TarNeed = { offset: 0, length: BLOCK_BYTES };
  /** Contents before this offset must exist; what pads them need not. */
  #contentEnd = 0;
  #isDone = false;
  #entries = 0;
  /** Of the first block since the last entry. */
  #headerOffset = 0;
  #specials = 0;
  #pax: PaxRecords | undefined;
  #longName: ByteString = NOTHING;
  #longLink: ByteString = NOTHING;

  /** Undefined once the end of the archive was seen. */
  get need(): TarNeed | undefined {
    return this.#isDone ? undefined : this.#need;
  }

  /**
   * Takes just the bytes that `need` names.
   * @returns an entry if they complete one
   */
  step(bytes: Buffer): TarEntry | undefined {
    const state = this.#state;
    switch (state.kind) {
      case "header":
        return this.#header(bytes);
      case "second-zero":
        if (!isZeroBlock(bytes)) {
          throw refuseTar("tar-end-malformed", "a header follows a block of zeros", this.#need.offset);
        }
        this.#isDone = true;
        return undefined;
      case "special":
        return this.#special(bytes, state.header);
      case "old-sparse":
        return this.#addOldSparse(bytes, state);
      case "sparse-1.0":
        return this.#addMap(bytes, state);
    }
  }

  /**
   * The archive ends after `size` bytes although more are needed. Fine where a header could have come: archives
   * without their end, and without the padding of their last file, are common.
   * @throws INVALID_ARGUMENT `tar-truncated`
   */
  end(size: number): void {
    if (this.#isDone) return;
    const { offset } = this.#need;
    const isBetween = this.#state.kind === "header" || this.#state.kind === "second-zero";
    if (!isBetween || size > offset || size < this.#contentEnd) {
      throw refuseTar("tar-truncated", `the archive ends after ${size} bytes`, this.#headerOffset);
    }
    this.#isDone = true;
  }

  #header(block: Buffer): TarEntry | undefined {
    const { offset } = this.#need;
    if (this.#specials === 0) this.#headerOffset = offset;
    if (isZeroBlock(block)) {
      this.#expect({ kind: "second-zero" }, offset + BLOCK_BYTES, BLOCK_BYTES);
      return undefined;
    }
    const header = parseHeaderBlock(block, offset);
    if (header.typeFlag === "M") {
      throw refuseTarKind("tar-multi-volume", "a file continues from another volume", offset);
    }
    if ("xgLK".includes(header.typeFlag)) {
      this.#expectSpecial(header);
      return undefined;
    }
    // A negative size is an error even where PAX gives another one.
    if (!isHeaderOnly(header.typeFlag)) checkedSize(header.size, offset);
    const extensions = { pax: this.#pax, longName: this.#longName, longLink: this.#longLink };
    const head = makeEntry(header, extensions, offset);
    this.#contentEnd = offset + BLOCK_BYTES + head.size;
    if (head.typeFlag === "S") return this.#startOldSparse(head, header, block);
    const dialect = this.#pax === undefined ? undefined : sparseDialect(this.#pax);
    if (dialect !== undefined) return this.#startSparse(head, dialect, this.#pax!);
    return this.#finish(head, { dataOffset: offset + BLOCK_BYTES, packedSize: head.size });
  }

  #expectSpecial(header: HeaderBlock): void {
    const { offset } = this.#need;
    this.#specials += 1;
    const size = checkedSize(header.size, offset);
    if (size > SPECIAL_BYTES_MAX || this.#specials > SPECIAL_HEADERS_MAX) {
      throw refuseTarSize(
        "tar-header-too-large",
        `want at most ${SPECIAL_HEADERS_MAX} extension headers of ${SPECIAL_BYTES_MAX} bytes, got one of ${size}`,
        offset,
      );
    }
    this.#contentEnd = offset + BLOCK_BYTES + size;
    this.#expect({ kind: "special", header }, offset + BLOCK_BYTES, size);
  }

  #special(bytes: Buffer, header: HeaderBlock): TarEntry | undefined {
    const { offset } = this.#need;
    const next = padded(offset + bytes.length);
    if (header.typeFlag === "L" || header.typeFlag === "K") {
      const name = stringField(bytes, 0, bytes.length);
      if (header.typeFlag === "L") this.#longName = name;
      else this.#longLink = name;
    } else {
      const pax = parsePax(bytes, offset - BLOCK_BYTES);
      if (header.typeFlag === "g") {
        const head = makeEntry({ ...header, size: 0 }, { pax, longName: NOTHING, longLink: NOTHING }, offset);
        return this.#finish({ ...head, size: 0 }, { dataOffset: next, packedSize: 0 });
      }
      this.#pax = pax;
    }
    this.#expect(HEADER, next, BLOCK_BYTES);
    return undefined;
  }

  #startOldSparse(head: EntryHead, header: HeaderBlock, block: Buffer): TarEntry | undefined {
    const { offset } = this.#need;
    if (header.format !== "gnu") {
      throw refuseTar("tar-sparse", `a sparse file of the format ${header.format}`, offset);
    }
    const size = checkedSize(safeField(block.subarray(483, 495), { field: "realsize", offset }), offset);
    const state = { kind: "old-sparse", head, size, map: new OldSparseMap(offset) } as const;
    return this.#addOldSparse(block.subarray(OLD_SPARSE_AT, OLD_SPARSE_END), state);
  }

  #addOldSparse(regions: Buffer, state: OldSparse): TarEntry | undefined {
    const next = this.#need.offset + BLOCK_BYTES;
    if (state.map.add(regions)) {
      this.#expect(state, next, BLOCK_BYTES);
      return undefined;
    }
    const packedSize = state.head.size;
    return this.#finish(
      { ...state.head, size: state.size },
      { dataOffset: next, packedSize, sparse: state.map.parts },
    );
  }

  #startSparse(head: EntryHead, dialect: SparseDialect, pax: PaxRecords): TarEntry | undefined {
    const { offset } = this.#need;
    if (isHeaderOnly(head.typeFlag)) {
      throw refuseTar("tar-sparse", `an entry of type ${shown(head.typeFlag)} is sparse`, offset);
    }
    const facts = sparseFacts(pax, offset);
    const size = checkedSize(facts.size ?? head.size, offset);
    const sparseHead = { ...head, size, name: facts.name ?? head.name };
    const place = { dataOffset: offset + BLOCK_BYTES, packedSize: head.size };
    if (dialect === "0.x") return this.#finish(sparseHead, { ...place, sparse: sparseMapOfPax(pax, offset) });
    const end = place.dataOffset + place.packedSize;
    this.#expectMap(
      { kind: "sparse-1.0", head: sparseHead, map: new SparseMapReader(offset), end },
      place.dataOffset,
    );
    return undefined;
  }

  #expectMap(state: Sparse1, offset: number): void {
    if (offset + BLOCK_BYTES > state.end) {
      throw refuseTar("tar-sparse", "a sparse map does not end inside its file", this.#headerOffset);
    }
    this.#expect(state, offset, BLOCK_BYTES);
  }

  #addMap(block: Buffer, state: Sparse1): TarEntry | undefined {
    const next = this.#need.offset + BLOCK_BYTES;
    if (!state.map.add(block)) {
      this.#expectMap(state, next);
      return undefined;
    }
    const packedSize = state.end - next;
    return this.#finish(state.head, { dataOffset: next, packedSize, sparse: state.map.parts });
  }

  #finish(head: EntryHead, place: EntryPlace): TarEntry {
    this.#entries += 1;
    if (this.#entries > ENTRIES_MAX) {
      throw refuseTarSize("tar-too-many-entries", `want at most ${ENTRIES_MAX} entries`, this.#headerOffset);
    }
    const { dataOffset, packedSize, sparse } = place;
    if (sparse !== undefined)
      checkSparse(sparse, { size: head.size, packedSize, offset: this.#headerOffset });
    this.#contentEnd = dataOffset + packedSize;
    this.#specials = 0;
    this.#pax = undefined;
    this.#longName = NOTHING;
    this.#longLink = NOTHING;
    this.#expect(HEADER, padded(this.#contentEnd), BLOCK_BYTES);
    return { ...head, headerOffset: this.#headerOffset, dataOffset, packedSize, sparse };
  }

  #expect(state: State, offset: number, length: number): void {
    this.#state = state;
    this.#need = { offset, length };
  }
}

function padded(offset: number): number {
  return Math.ceil(offset / BLOCK_BYTES) * BLOCK_BYTES;
}
