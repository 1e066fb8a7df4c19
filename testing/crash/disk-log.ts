/** One thing that happened to the disk, as `crash-disk.cc` writes it down. */
export interface DiskRecord {
  readonly kind: "write" | "flush" | "discard";
  /** Bytes on the disk. */
  readonly offset: number;
  readonly length: number;
  /** What a write wrote; zeros for a discard. */
  readonly bytes: Buffer;
  /** Length of the log in bytes once the record was in it. */
  readonly logEnd: number;
}

const MAGIC = 0x4b534443;
const HEADER_BYTES = 24;
const kinds = [undefined, "write", "flush", "discard"] as const;

export function readDiskLog(log: Buffer): DiskRecord[] {
  const records: DiskRecord[] = [];
  for (let at = 0; at < log.length; ) {
    const kind = kinds[log.readUInt32LE(at + 4)];
    if (log.readUInt32LE(at) !== MAGIC || kind === undefined)
      throw new Error(`No record at ${at} of the log`);
    const offset = Number(log.readBigUInt64LE(at + 8));
    const length = Number(log.readBigUInt64LE(at + 16));
    at += HEADER_BYTES;
    let bytes: Buffer = Buffer.alloc(0);
    if (kind === "write") {
      bytes = log.subarray(at, at + length);
      at += length;
    } else if (kind === "discard") {
      bytes = Buffer.alloc(length);
    }
    records.push({ kind, offset, length, bytes, logEnd: at });
  }
  return records;
}
