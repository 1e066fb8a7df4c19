/** One entry of a layer, as a test writes it. */
export interface LayerEntry {
  /** As in the tar: `usr/bin/`, `./x`. */
  readonly name: string;
  readonly type: "dir" | "reg" | "symlink" | "hardlink" | "char" | "block" | "fifo";
  /** Of a `reg`; none is an empty file. */
  readonly content?: Buffer | string;
  /** Permission bits; 0o755 for directories and 0o644 for all else unless given. */
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  /** Seconds since the epoch. */
  readonly mtime?: number;
  /** Target of a symbolic or hard link. */
  readonly linkName?: string;
  readonly devMajor?: number;
  readonly devMinor?: number;
  readonly xattrs?: Readonly<Record<string, Buffer | string>>;
}

const BLOCK = 512;
const typeFlags = {
  reg: "0",
  hardlink: "1",
  symlink: "2",
  char: "3",
  block: "4",
  dir: "5",
  fifo: "6",
} as const;

export function modeOf(entry: LayerEntry): number {
  return entry.mode ?? (entry.type === "dir" ? 0o755 : 0o644);
}

export function contentOf(entry: LayerEntry): Buffer {
  return entry.type === "reg" ? Buffer.from(entry.content ?? "") : Buffer.alloc(0);
}

/** Zeros up to the next block. */
export function padding(size: number): Buffer {
  return Buffer.alloc((BLOCK - (size % BLOCK)) % BLOCK);
}

/** The header of an entry, with a PAX header before it where ustar has no room. */
export function tarHeader(entry: LayerEntry): Buffer {
  const records: [string, Buffer][] = [];
  const pax = (key: string, value: Buffer | string): void => {
    records.push([key, Buffer.from(value)]);
  };
  if (Buffer.byteLength(entry.name) > 100) pax("path", entry.name);
  if (Buffer.byteLength(entry.linkName ?? "") > 100) pax("linkpath", entry.linkName ?? "");
  for (const key of ["uid", "gid"] as const) if ((entry[key] ?? 0) > 0o7777777) pax(key, String(entry[key]));
  for (const [name, value] of Object.entries(entry.xattrs ?? {})) pax(`SCHILY.xattr.${name}`, value);
  const header = ustar(entry, typeFlags[entry.type], contentOf(entry).length);
  if (records.length === 0) return header;
  const body = Buffer.concat(records.map(([key, value]) => paxRecord(key, value)));
  const paxEntry: LayerEntry = { name: "PaxHeaders/entry", type: "reg" };
  return Buffer.concat([ustar(paxEntry, "x", body.length), body, padding(body.length), header]);
}

/** `<length> <key>=<value>\n`, where the length counts itself. */
function paxRecord(key: string, value: Buffer): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`), value, Buffer.from("\n")]);
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

function ustar(entry: LayerEntry, flag: string, size: number): Buffer {
  const header = Buffer.alloc(BLOCK);
  const octal = (value: number, at: number, length: number): void => {
    header.write(
      (value & 0o7777777) === value || length > 8 ? value.toString(8).padStart(length - 1, "0") : "",
      at,
    );
  };
  Buffer.from(entry.name).copy(header, 0, 0, 100);
  octal(modeOf(entry), 100, 8);
  octal(entry.uid ?? 0, 108, 8);
  octal(entry.gid ?? 0, 116, 8);
  octal(size, 124, 12);
  octal(entry.mtime ?? 0, 136, 12);
  header.write(flag, 156);
  Buffer.from(entry.linkName ?? "").copy(header, 157, 0, 100);
  header.write("ustar\x0000", 257, "latin1");
  octal(entry.devMajor ?? 0, 329, 8);
  octal(entry.devMinor ?? 0, 337, 8);
  header.fill(0x20, 148, 156);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return header;
}
