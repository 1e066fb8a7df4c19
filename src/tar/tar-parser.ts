import { type ByteString, bytesOfText } from "../bytes/index.js";
import type { TarEntry } from "./entry.js";
import { type HeaderBlock, isZeroBlock, parseHeaderBlock, stringField } from "./header-block.js";
import { BLOCK_BYTES, ENTRIES_MAX, SPECIAL_BYTES_MAX, SPECIAL_HEADERS_MAX } from "./limits.js";
import { checkedSize, isHeaderOnly, makeEntry } from "./make-entry.js";
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
  readonly head: TarEntry;
  readonly size: number;
  readonly map: OldSparseMap;
}

interface Sparse1 {
  readonly kind: "sparse-1.0";
  readonly head: TarEntry;
  readonly map: SparseMapReader;
}

type State =
  | { readonly kind: "header" }
  | { readonly kind: "second-zero" }
  | { readonly kind: "special"; readonly header: HeaderBlock }
  | OldSparse
  | Sparse1;

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
    const head = makeEntry(header, extensions, { headerOffset: this.#headerOffset, offset });
    this.#contentEnd = offset + BLOCK_BYTES + head.size;
    if (head.typeFlag === "S") return this.#startOldSparse(head, header, block);
    const dialect = this.#pax === undefined ? undefined : sparseDialect(this.#pax);
    if (dialect !== undefined) return this.#startSparse(head, dialect, this.#pax!);
    return this.#finish(head);
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
        const extensions = { pax, longName: NOTHING, longLink: NOTHING };
        const entry = makeEntry(header, extensions, { headerOffset: this.#headerOffset, offset });
        return this.#finish({ ...entry, size: 0, dataOffset: next, packedSize: 0 });
      }
      this.#pax = pax;
    }
    this.#expect(HEADER, next, BLOCK_BYTES);
    return undefined;
  }

  #startOldSparse(head: TarEntry, header: HeaderBlock, block: Buffer): TarEntry | undefined {
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
    const { head, size, map } = state;
    return this.#finish({ ...head, size, dataOffset: next, sparse: map.parts });
  }

  #startSparse(head: TarEntry, dialect: SparseDialect, pax: PaxRecords): TarEntry | undefined {
    const { offset } = this.#need;
    if (isHeaderOnly(head.typeFlag)) {
      throw refuseTar("tar-sparse", `an entry of type ${shown(head.typeFlag)} is sparse`, offset);
    }
    const facts = sparseFacts(pax, offset);
    const size = checkedSize(facts.size ?? head.size, offset);
    const sparseHead = { ...head, size, name: facts.name ?? head.name };
    if (dialect === "0.x") return this.#finish({ ...sparseHead, sparse: sparseMapOfPax(pax, offset) });
    this.#expectMap(
      { kind: "sparse-1.0", head: sparseHead, map: new SparseMapReader(offset) },
      head.dataOffset,
    );
    return undefined;
  }

  #expectMap(state: Sparse1, offset: number): void {
    if (offset + BLOCK_BYTES > state.head.dataOffset + state.head.packedSize) {
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
    const { head, map } = state;
    const packedSize = head.dataOffset + head.packedSize - next;
    return this.#finish({ ...head, dataOffset: next, packedSize, sparse: map.parts });
  }

  #finish(entry: TarEntry): TarEntry {
    this.#entries += 1;
    if (this.#entries > ENTRIES_MAX) {
      throw refuseTarSize("tar-too-many-entries", `want at most ${ENTRIES_MAX} entries`, this.#headerOffset);
    }
    const { size, dataOffset, packedSize, sparse } = entry;
    if (sparse !== undefined) checkSparse(sparse, { size, packedSize, offset: this.#headerOffset });
    this.#contentEnd = dataOffset + packedSize;
    this.#specials = 0;
    this.#pax = undefined;
    this.#longName = NOTHING;
    this.#longLink = NOTHING;
    this.#expect(HEADER, padded(this.#contentEnd), BLOCK_BYTES);
    return entry;
  }

  #expect(state: State, offset: number, length: number): void {
    this.#state = state;
    this.#need = { offset, length };
  }
}

function padded(offset: number): number {
  return Math.ceil(offset / BLOCK_BYTES) * BLOCK_BYTES;
}
