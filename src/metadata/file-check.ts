import { type FileHandle, open } from "node:fs/promises";
import { dataLoss } from "../errors/index.js";

/** LMDB's meta pages (mdb.c: MDB_page, MDB_meta, as 64-bit little-endian machines have them): offsets in the page. */
const MAGIC = 0xbeefc0de;
const MAGIC_AT = 24;
const VERSION_AT = 28;
const VERSION = 2;
const PAGE_SIZE_AT = 48;
const ROOTS_AT = [88, 136] as const;
const LAST_PAGE_AT = 144;
const TRANSACTION_AT = 152;
const META_BYTES = 168;
const PAGE_SIZE_MIN = 4096;
const PAGE_SIZE_MAX = 65_536;
/** Root of a tree that is empty. */
const NO_PAGE = 2n ** 64n - 1n;

/**
 * Looks at an LMDB file's two meta pages before LMDB does: that one trusts its file, and a strange one ends the
 * process with a signal. An empty or missing file is fine. @throws DATA_LOSS
 */
export async function checkMetadataFile(path: string): Promise<void> {
  const file = await open(path, "a+", 0o600);
  try {
    const { size } = await file.stat();
    if (size === 0) return;
    const read = async (offset: number): Promise<Buffer> => {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(META_BYTES), 0, META_BYTES, offset);
      if (bytesRead < META_BYTES || buffer.readUInt32LE(MAGIC_AT) !== MAGIC)
        throw damaged(path, "no LMDB file");
      return buffer;
    };
    const first = await read(0);
    const pageSize = first.readUInt32LE(PAGE_SIZE_AT);
    if (pageSize < PAGE_SIZE_MIN || pageSize > PAGE_SIZE_MAX) throw damaged(path, "a page size out of range");
    for (const page of [first, await read(pageSize)]) {
      if (page.readUInt32LE(VERSION_AT) !== VERSION) throw damaged(path, "another version of LMDB");
      for (const at of ROOTS_AT) {
        const root = page.readBigUInt64LE(at);
        if (root !== NO_PAGE && root >= BigInt(Math.floor(size / pageSize)))
          throw damaged(path, "a cut file");
      }
    }
  } finally {
    await file.close();
  }
}

/** Bytes up to the end of the last page in use, as the newer meta page has it. */
export async function readLastPage(file: FileHandle): Promise<number> {
  const first = Buffer.alloc(META_BYTES);
  const second = Buffer.alloc(META_BYTES);
  await file.read(first, 0, META_BYTES, 0);
  const pageSize = first.readUInt32LE(PAGE_SIZE_AT);
  await file.read(second, 0, META_BYTES, pageSize);
  const isFirst = first.readBigUInt64LE(TRANSACTION_AT) > second.readBigUInt64LE(TRANSACTION_AT);
  return (Number((isFirst ? first : second).readBigUInt64LE(LAST_PAGE_AT)) + 1) * pageSize;
}

export function damaged(path: string, actual: string, cause?: unknown): Error {
  return dataLoss(`Cannot open the metadata ${path}: want an LMDB file, got ${actual}`, {
    subject: path,
    reason: "metadata-damaged",
    hint: "The disk or another program changed it: move the metadata folder away and pull the images again",
    cause,
  });
}
