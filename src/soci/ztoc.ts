import type { ByteString, Digest } from "../bytes/index.js";
import type { FileTime } from "../tree/index.js";

export type Algorithm = "gzip" | "uncompressed";

/** The numbers of the enum CompressionAlgorithm; gzip is the default of its field. */
export const algorithmNumbers: Readonly<Record<Algorithm, number>> = { gzip: 1, uncompressed: 2 };

/** What SOCI writes. Its readers do not look at it. */
export const ZTOC_VERSION = "0.9";

/** The places of the fields in the tables of a zTOC (ztoc.fbs and zinfo.fbs of soci-snapshotter). */
export const fields = {
  ztoc: { version: 0, buildTool: 1, compressedSize: 2, uncompressedSize: 3, toc: 4, compressionInfo: 5 },
  toc: { metadata: 0 },
  compressionInfo: { algorithm: 0, maxSpanId: 1, spanDigests: 2, checkpoints: 3 },
  entry: {
    name: 0,
    type: 1,
    dataOffset: 2,
    size: 3,
    linkName: 4,
    mode: 5,
    uid: 6,
    gid: 7,
    userName: 8,
    groupName: 9,
    modificationTime: 10,
    deviceMajor: 11,
    deviceMinor: 12,
    paxRecords: 13,
  },
  paxRecord: { key: 0, value: 1 },
  tarZinfo: { version: 0, spanSize: 1, size: 2 },
} as const;

export interface PaxRecord {
  /** As the tar has it, e.g. `SCHILY.xattr.user.x`. */
  readonly key: ByteString;
  readonly value: Buffer;
}

export type EntryType = "reg" | "hardlink" | "symlink" | "dir" | "char" | "block" | "fifo";

/** One entry of the tar, in the words of its header. */
export interface ZtocEntry {
  readonly name: ByteString;
  readonly type: EntryType;
  /** Where the bytes behind its headers begin in the tar. */
  readonly dataOffset: number;
  readonly size: number;
  readonly linkName: ByteString;
  /** May have more than the permission bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly userName: ByteString;
  readonly groupName: ByteString;
  readonly mtime: FileTime;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
  readonly paxRecords: readonly PaxRecord[];
}

export interface ZtocFacts {
  readonly version: string;
  readonly buildTool: string;
  readonly algorithm: Algorithm;
  /** Bytes of the blob that it is about. */
  readonly compressedSize: number;
  /** Bytes of the tar up to the end of its two zero blocks. */
  readonly uncompressedSize: number;
  /** Of the compressed bytes of each span; always sha256. */
  readonly spanDigests: readonly Digest[];
  /** Checkpoints: what readZinfo() takes. */
  readonly zinfo: Buffer;
}

export interface Ztoc extends ZtocFacts {
  readonly entryCount: number;
  /** In the order of the tar. @throws as readZtoc(), as entries are only read here */
  entries(): Iterable<ZtocEntry>;
}
