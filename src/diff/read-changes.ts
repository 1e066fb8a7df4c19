import { type ByteString, bytesOfBuffer } from "../bytes/index.js";
import type { FileTime } from "../tree/index.js";

/** By their numbers in native/core/tree_changes.h. */
const kinds = ["added", "modified", "deleted", "linked", "passed"] as const;

/** One difference between two trees, with the facts of the upper one. */
export interface Change {
  readonly kind: (typeof kinds)[number];
  /** Without a slash at its start. */
  readonly path: ByteString;
  /** Type and permissions, as stat(2) has them. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly devMajor: number;
  readonly devMinor: number;
  readonly links: number;
  /** What the inode is known by. */
  readonly inode: string;
  readonly size: number;
  readonly mtime: FileTime;
  /** Of a symbolic link. */
  readonly target: ByteString;
  /** `security.capability`; empty: none. */
  readonly capability: Buffer;
}

/** Reads what the addon wrote. */
export function* readChanges(records: Buffer): Generator<Change, void, undefined> {
  let at = 0;
  const word = (): number => {
    at += 4;
    return records.readUInt32LE(at - 4);
  };
  const number64 = (): bigint => {
    at += 8;
    return records.readBigInt64LE(at - 8);
  };
  const bytes = (): Buffer => {
    const length = word();
    at += length;
    return records.subarray(at - length, at);
  };
  while (at < records.length) {
    at += 1;
    const kind = kinds[records[at - 1]!]!;
    const [mode, uid, gid, devMajor, devMinor, links] = [word(), word(), word(), word(), word(), word()];
    const inode = `${number64()}:${number64()}`;
    const size = Number(number64());
    const mtime = { seconds: number64(), nanoseconds: word() };
    const path = bytesOfBuffer(bytes());
    const target = bytesOfBuffer(bytes());
    const capability = bytes();
    yield { kind, path, mode, uid, gid, devMajor, devMinor, links, inode, size, mtime, target, capability };
  }
}
