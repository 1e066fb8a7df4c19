import { type ByteString, bufferOfBytes } from "../bytes/index.js";

/** One header as Go's archive/tar is given it; directories' names end in a slash. */
export interface GoHeader {
  readonly typeFlag: "0" | "1" | "2" | "3" | "4" | "5" | "6";
  readonly name: ByteString;
  readonly linkName: ByteString;
  /** 0 to 0o7777. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  /** Seconds since 1970. */
  readonly mtime: bigint;
  readonly devMajor: number;
  readonly devMinor: number;
  /** `security.capability`; empty: none. */
  readonly capability: Buffer;
}

const BLOCK_BYTES = 512;
const NAME_BYTES = 100;
const PREFIX_BYTES = 155;
const PAX_FOLDER = "PaxHeaders.0";
const CAPABILITY = "SCHILY.xattr.security.capability";

/** The blocks that Go 1.20's writer makes of a header, byte for byte. */
export function goHeader(header: GoHeader): Buffer {
  const records = paxRecords(header);
  if (records.size === 0) return headerBlock(header);
  // ustar is taken wherever it has room, which it has for a long name that can be cut at a slash.
  const split = records.size === 1 && records.has("path") ? splitName(header.name) : undefined;
  if (split !== undefined) return headerBlock({ ...header, name: split.rest }, split.prefix);
  const body = Buffer.concat([...records].sort(([left], [right]) => (left < right ? -1 : 1)).map(paxRecord));
  const block = Buffer.alloc(BLOCK_BYTES);
  putText(block, paxName(header.name), { at: 0, length: NAME_BYTES });
  for (const at of [100, 108, 116]) putOctal(block, 0, { at, length: 8 });
  putOctal(block, body.length, { at: 124, length: 12 });
  putOctal(block, 0, { at: 136, length: 12 });
  block.write("x", 156, "latin1");
  return Buffer.concat([
    sealed(block),
    body,
    Buffer.alloc((BLOCK_BYTES - (body.length % BLOCK_BYTES)) % BLOCK_BYTES),
    headerBlock(header),
  ]);
}

/** What the block has no room for. */
function paxRecords(header: GoHeader): Map<string, Buffer> {
  const records = new Map<string, Buffer>();
  const number = (key: string, value: number | bigint, length: number): void => {
    if (!fitsOctal(BigInt(value), length)) records.set(key, Buffer.from(String(value)));
  };
  const { name, linkName } = header;
  if (name.length > NAME_BYTES || !isAscii(name)) records.set("path", bufferOfBytes(name));
  if (linkName.length > NAME_BYTES || !isAscii(linkName)) records.set("linkpath", bufferOfBytes(linkName));
  number("uid", header.uid, 8);
  number("gid", header.gid, 8);
  number("size", header.size, 12);
  number("mtime", header.mtime, 12);
  if (header.capability.length > 0) records.set(CAPABILITY, header.capability);
  return records;
}

function headerBlock(header: GoHeader, prefix = ""): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES);
  putText(block, header.name, { at: 0, length: NAME_BYTES });
  putOctal(block, header.mode, { at: 100, length: 8 });
  putOctal(block, header.uid, { at: 108, length: 8 });
  putOctal(block, header.gid, { at: 116, length: 8 });
  putOctal(block, header.size, { at: 124, length: 12 });
  putOctal(block, header.mtime, { at: 136, length: 12 });
  block.write(header.typeFlag, 156, "latin1");
  putText(block, header.linkName, { at: 157, length: NAME_BYTES });
  putOctal(block, header.devMajor, { at: 329, length: 8 });
  putOctal(block, header.devMinor, { at: 337, length: 8 });
  block.write(prefix, 345, "latin1");
  return sealed(block);
}

function sealed(block: Buffer): Buffer {
  block.write("ustar\x0000", 257, "latin1");
  block.fill(0x20, 148, 156);
  let sum = 0;
  for (const byte of block) sum += byte;
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return block;
}

interface Field {
  readonly at: number;
  readonly length: number;
}

/** Cut to its room; a cut that would end in a slash would make a folder of a file. */
function putText(block: Buffer, text: string, { at, length }: Field): void {
  const ascii = asciiOf(text);
  block.write(ascii.slice(0, length), at, "latin1");
  if (ascii.length <= length || ascii[length - 1] !== "/") return;
  block[at + ascii.slice(0, length).replace(/\/+$/, "").length] = 0;
}

/** Zero stands for what is too large: it is in a record before the block. */
function putOctal(block: Buffer, value: number | bigint, { at, length }: Field): void {
  const fitting = fitsOctal(BigInt(value), length) ? value : 0;
  block.write(fitting.toString(8).padStart(length - 1, "0"), at, "latin1");
}

function fitsOctal(value: bigint, length: number): boolean {
  return value >= 0n && value < 1n << BigInt((length - 1) * 3);
}

/** As path.Join of the folder, `PaxHeaders.0` and the file, cut. */
function paxName(name: string): string {
  const slash = name.lastIndexOf("/");
  const joined = [name.slice(0, Math.max(slash, 0)), PAX_FOLDER, name.slice(slash + 1)]
    .filter((part) => part !== "")
    .join("/");
  return asciiOf(joined).slice(0, NAME_BYTES).replace(/\/+$/, "");
}

/** `<length> <key>=<value>\n`, where the length counts itself. */
function paxRecord([key, value]: readonly [string, Buffer]): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`), value, Buffer.from("\n")]);
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

function splitName(name: ByteString): { readonly prefix: string; readonly rest: ByteString } | undefined {
  if (name.length <= NAME_BYTES || !isAscii(name)) return undefined;
  const end =
    name.length > PREFIX_BYTES + 1 ? PREFIX_BYTES + 1 : name.endsWith("/") ? name.length - 1 : name.length;
  const slash = name.lastIndexOf("/", end - 1);
  const rest = name.slice(slash + 1) as ByteString;
  if (slash <= 0 || slash > PREFIX_BYTES || rest === "" || rest.length > NAME_BYTES) return undefined;
  return { prefix: name.slice(0, slash), rest };
}

function isAscii(text: string): boolean {
  return asciiOf(text) === text;
}

function asciiOf(text: string): string {
  let ascii = "";
  for (const sign of text) if (sign > "\0" && sign < "\x80") ascii += sign;
  return ascii;
}
