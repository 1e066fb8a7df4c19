const BLOCK = 512;

/** A header with anything in any field: what is not given is as a plain ustar file of root's has it. */
export interface RawEntry {
  readonly name: string | Buffer;
  readonly type?: string;
  readonly content?: Buffer | string;
  readonly link?: string | Buffer;
  /** Numbers as a text for the field, raw bytes, or a number in octal. */
  readonly mode?: RawNumber;
  readonly uid?: RawNumber;
  readonly gid?: RawNumber;
  /** Default: bytes of the content. */
  readonly size?: RawNumber;
  readonly mtime?: RawNumber;
  readonly major?: RawNumber;
  readonly minor?: RawNumber;
  readonly prefix?: string | Buffer;
  readonly format?: "ustar" | "gnu" | "v7" | "star";
  /** Changes to the finished block, before its checksum. */
  readonly patch?: (block: Buffer) => void;
  readonly checksum?: "signed" | "wrong" | string;
  /** Records of a PAX header before it: [key, value]. */
  readonly pax?: readonly (readonly [string | Buffer, string | Buffer])[];
  /** The contents of that header as they are. */
  readonly rawPax?: Buffer | string;
}

export type RawNumber = number | string | Buffer;

/** base-256 of a number in a field of 8 or 12 bytes. */
export function base256(value: bigint, length: 8 | 12): Buffer {
  const field = Buffer.alloc(length);
  let rest = BigInt.asUintN(8 * length, value);
  for (let at = length - 1; at >= 0; at -= 1) {
    field[at] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  field[0] = value < 0n ? 0xff : field[0]! | 0x80;
  return field;
}

export function paxRecord(key: string | Buffer, value: string | Buffer): Buffer {
  const rest = Buffer.concat([
    Buffer.from(" "),
    bytes(key),
    Buffer.from("="),
    bytes(value),
    Buffer.from("\n"),
  ]);
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

export function rawHeader(entry: RawEntry): Buffer {
  const block = Buffer.alloc(BLOCK);
  const content = bytes(entry.content ?? "");
  put(block, entry.name, 0, 100);
  number(block, entry.mode ?? (entry.type === "5" ? 0o755 : 0o644), 100, 8);
  number(block, entry.uid ?? 0, 108, 8);
  number(block, entry.gid ?? 0, 116, 8);
  number(block, entry.size ?? content.length, 124, 12);
  number(block, entry.mtime ?? 1_600_000_000, 136, 12);
  put(block, entry.type ?? "0", 156, 1);
  put(block, entry.link ?? "", 157, 100);
  const format = entry.format ?? "ustar";
  if (format !== "v7") {
    put(block, format === "gnu" ? "ustar  \0" : "ustar\x0000", 257, 8);
    number(block, entry.major ?? 0, 329, 8);
    number(block, entry.minor ?? 0, 337, 8);
    put(block, entry.prefix ?? "", 345, 155);
    if (format === "star") put(block, "tar\0", 508, 4);
  }
  entry.patch?.(block);
  sign(block, entry.checksum);
  return block;
}

/** An archive of entries, without its end. */
export function rawEntries(...entries: readonly (RawEntry | Buffer)[]): Buffer {
  return Buffer.concat(entries.map((entry) => (Buffer.isBuffer(entry) ? entry : rawEntry(entry))));
}

/** An archive of entries. */
export function rawTar(...entries: readonly (RawEntry | Buffer)[]): Buffer {
  return Buffer.concat([rawEntries(...entries), Buffer.alloc(2 * BLOCK)]);
}

function rawEntry(entry: RawEntry): Buffer {
  const parts: Buffer[] = [];
  const pax =
    entry.rawPax ?? (entry.pax && Buffer.concat(entry.pax.map(([key, value]) => paxRecord(key, value))));
  if (pax !== undefined) parts.push(rawEntry({ name: "PaxHeaders/x", type: "x", content: pax }));
  const content = bytes(entry.content ?? "");
  const padding = Buffer.alloc((BLOCK - (content.length % BLOCK)) % BLOCK);
  return Buffer.concat([...parts, rawHeader(entry), content, padding]);
}

function bytes(value: string | Buffer): Buffer {
  return typeof value === "string" ? Buffer.from(value) : value;
}

function put(block: Buffer, value: string | Buffer, at: number, length: number): void {
  bytes(value).copy(block, at, 0, length);
}

function number(block: Buffer, value: RawNumber, at: number, length: number): void {
  const field = typeof value === "number" ? value.toString(8).padStart(length - 1, "0") : value;
  put(block, field, at, length);
}

function sign(block: Buffer, how: RawEntry["checksum"]): void {
  block.fill(0x20, 148, 156);
  let sum = how === "wrong" ? 1 : 0;
  for (const byte of block) sum += how === "signed" && byte > 127 ? byte - 256 : byte;
  const isText = how !== undefined && how !== "signed" && how !== "wrong";
  block.write(isText ? how.padEnd(8, "\0") : `${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
}
