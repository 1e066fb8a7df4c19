import type { ByteString } from "../../src/bytes/index.js";
import type { ErrorCode } from "../../src/errors/index.js";
import type { ZtocEntry } from "../../src/soci/index.js";
import { paxRecord } from "../soci/builder.js";
import type { HostileCase } from "./estargz-case.js";
import { compileEntry, compileRaw, compileWith, layer } from "./soci-case.js";

type Row = readonly [
  name: string,
  index: number,
  changes: Partial<ZtocEntry>,
  code: ErrorCode,
  reason: string,
];
type Verdict = readonly [code: ErrorCode, reason: string];

const refused = (reason: string): Verdict => ["INVALID_ARGUMENT", reason];
const exhausted = (reason: string): Verdict => ["RESOURCE_EXHAUSTED", reason];
const bytes = (text: string): ByteString => text as ByteString;

const dataSize = layer.tar.length;
const [, file, second, , note] = layer.entries as [ZtocEntry, ZtocEntry, ZtocEntry, ZtocEntry, ZtocEntry];

const places: readonly Row[] = [
  ["offset 0, where the first header is", 0, { dataOffset: 0 }, ...refused("ztoc-entry-order")],
  ["offset not of a block", 1, { dataOffset: file.dataOffset + 1 }, ...refused("ztoc-entry-unaligned")],
  ["offset half a block", 1, { dataOffset: file.dataOffset + 256 }, ...refused("ztoc-entry-unaligned")],
  ["offset inside the file before", 2, { dataOffset: file.dataOffset + 512 }, ...refused("ztoc-entry-order")],
  ["offset of the file before", 2, { dataOffset: file.dataOffset }, ...refused("ztoc-entry-order")],
  [
    "offset without a header before it",
    2,
    { dataOffset: second.dataOffset - 512 },
    ...refused("ztoc-entry-order"),
  ],
  ["offset behind the end of the tar", 4, { dataOffset: dataSize + 512 }, ...refused("ztoc-entry-range")],
  ["offset 2^43", 4, { dataOffset: 2 ** 43 }, ...refused("ztoc-entry-range")],
  ["offset negative", 4, { dataOffset: -512 }, ...refused("ztoc-number")],
  ["offset 2^62", 4, { dataOffset: 2 ** 62 }, ...refused("ztoc-number")],
  ["a size over the end of the tar", 4, { size: dataSize }, ...refused("ztoc-entry-range")],
  [
    "a huge file, whose reads name spans that are not there",
    4,
    { size: 2 ** 43 },
    ...refused("ztoc-entry-range"),
  ],
  ["a size over the next file", 1, { size: 300_000 }, ...refused("ztoc-entry-order")],
  ["a size one block too large", 1, { size: file.size + 512 }, ...refused("ztoc-entry-order")],
  ["a size that is negative", 1, { size: -1 }, ...refused("ztoc-number")],
  ["a size of 2^63 - 1024", 1, { size: 2 ** 63 - 1024 }, ...refused("ztoc-number")],
];

const inodes: readonly Row[] = [
  ["mode negative", 1, { mode: -1 }, ...refused("ztoc-number")],
  ["a device's number 4096", 1, { type: "char", deviceMajor: 4096 }, ...refused("ztoc-device")],
  [
    "a device's number 2^32, 0 at 32 bits",
    1,
    { type: "block", deviceMinor: 2 ** 32 },
    ...refused("ztoc-device"),
  ],
  ["a device's number -1", 1, { type: "char", deviceMajor: -1 }, ...refused("ztoc-number")],
  ["symlink to nothing", 1, { type: "symlink" }, ...refused("ztoc-symlink")],
  [
    "symlink to 4096 bytes",
    1,
    { type: "symlink", linkName: bytes("x".repeat(4096)) },
    ...refused("ztoc-symlink"),
  ],
  ["symlink with a NUL", 1, { type: "symlink", linkName: bytes("a\0b") }, ...refused("ztoc-symlink")],
  [
    "a sparse file of PAX 1.0",
    1,
    { paxRecords: [paxRecord("GNU.sparse.major", "1")] },
    ...refused("ztoc-sparse"),
  ],
  [
    "a sparse file of PAX 0.1",
    1,
    { paxRecords: [paxRecord("GNU.sparse.map", "0,1")] },
    ...refused("ztoc-sparse"),
  ],
  [
    "an attribute without a name",
    1,
    { paxRecords: [paxRecord("SCHILY.xattr.", "x")] },
    ...refused("ztoc-xattr"),
  ],
  [
    "an attribute with a NUL",
    1,
    { paxRecords: [paxRecord("SCHILY.xattr.user.\0", "x")] },
    ...refused("ztoc-xattr"),
  ],
  [
    "an attribute with 256 bytes",
    1,
    { paxRecords: [paxRecord(`SCHILY.xattr.${"n".repeat(256)}`, "x")] },
    ...refused("ztoc-xattr"),
  ],
  [
    "an attribute of 64 KiB and a byte",
    1,
    { paxRecords: [paxRecord("SCHILY.xattr.user.x", Buffer.alloc(65_537))] },
    ...refused("ztoc-xattr"),
  ],
  [
    "300 attributes with long names",
    1,
    {
      paxRecords: Array.from({ length: 300 }, (_, at) =>
        paxRecord(`SCHILY.xattr.user.${"n".repeat(240)}${at}`, ""),
      ),
    },
    ...refused("ztoc-xattr"),
  ],
  [
    "5000 PAX records",
    1,
    { paxRecords: Array.from({ length: 5000 }, (_, at) => paxRecord(`key${at}`, "")) },
    ...refused("ztoc-xattr"),
  ],
  [
    "a PAX record twice",
    1,
    { paxRecords: [paxRecord("comment", "1"), paxRecord("comment", "2")] },
    ...refused("ztoc-xattr"),
  ],
];

const names: readonly Row[] = [
  ["..", 1, { name: bytes("..") }, ...refused("ztoc-name")],
  ["../x", 1, { name: bytes("../x") }, ...refused("ztoc-name")],
  ["dir/../../etc/passwd", 1, { name: bytes("dir/../../etc/passwd") }, ...refused("ztoc-name")],
  ["dir/..", 1, { name: bytes("dir/..") }, ...refused("ztoc-name")],
  ["a NUL", 1, { name: bytes("a\0b") }, ...refused("ztoc-name")],
  ["the root as a file", 1, { name: bytes("./") }, ...refused("ztoc-root")],
  ["no name", 1, { name: bytes("") }, ...refused("ztoc-root")],
  ["slashes only", 1, { name: bytes("////") }, ...refused("ztoc-root")],
  ["256 bytes", 1, { name: bytes("n".repeat(256)) }, ...exhausted("ztoc-path-too-long")],
  ["4097 bytes", 1, { name: bytes(`${"a/".repeat(2048)}b`) }, ...exhausted("ztoc-path-too-long")],
  ["2000 directories deep", 1, { name: bytes("a/".repeat(2000)) }, ...exhausted("ztoc-path-too-long")],
  ["a million components", 1, { name: bytes("a/".repeat(1_000_000)) }, ...exhausted("ztoc-path-too-long")],
  ["below a file", 2, { name: bytes("dir/file/below") }, ...refused("ztoc-parent")],
  ["hard link to ..", 3, { linkName: bytes("../second") }, ...refused("ztoc-name")],
  ["hard link to itself", 3, { linkName: bytes("link") }, ...refused("ztoc-hardlink-missing")],
  ["hard link to a later entry", 3, { linkName: note.name }, ...refused("ztoc-hardlink-missing")],
  ["hard link to nothing", 3, { linkName: bytes("nowhere") }, ...refused("ztoc-hardlink-missing")],
  ["hard link through a file", 3, { linkName: bytes("second/x") }, ...refused("ztoc-hardlink-missing")],
  ["hard link to a directory", 3, { linkName: bytes("dir") }, ...refused("ztoc-hardlink-target")],
  ["hard link to the root", 3, { linkName: bytes("/") }, ...refused("ztoc-hardlink-target")],
];

/** A hard link to a whiteout needs two entries. */
function linkToWhiteout(): unknown {
  const entries = layer.entries.map((entry) =>
    entry === second
      ? { ...entry, name: bytes(".wh.x") }
      : { ...entry, linkName: bytes(entry.linkName && ".wh.x") },
  );
  return compileWith({ entries });
}

/** The entries the other way round: each one before the one that stands before it in the tar. */
function reversed(): unknown {
  return compileWith({ entries: layer.entries.toReversed() });
}

/** The type, whose text is as long as that of the new one. */
function typeOf(text: string): unknown {
  return compileRaw((found) => {
    const at = found.follow(found.field(found.entry, 1));
    found.bytes.write(text, at + 4, "latin1");
  });
}

function timeOf(text: string): unknown {
  return compileRaw((found) => {
    const at = found.follow(found.field(found.entry, 10));
    found.bytes.write(text, at + 4, "latin1");
  });
}

const special: readonly (readonly [name: string, run: () => unknown, code: ErrorCode, reason: string])[] = [
  ["a hard link to a whiteout", linkToWhiteout, ...refused("ztoc-hardlink-target")],
  ["entries that go backwards", reversed, ...refused("ztoc-entry-order")],
  ["the type DIR", () => typeOf("DIR"), ...refused("ztoc-entry-type")],
  ["the type of three NULs", () => typeOf("\0\0\0"), ...refused("ztoc-entry-type")],
  ["February 30th", () => timeOf("1970-02-30T00:00:00Z"), ...refused("ztoc-time")],
  ["24 o'clock", () => timeOf("1970-01-01T24:00:00Z"), ...refused("ztoc-time")],
  ["a time that is none", () => timeOf("yesterday, at noon.."), ...refused("ztoc-time")],
  ["version 0.8", () => versionOf("0.8"), ...refused("ztoc-version")],
  ["version 0x9", () => versionOf("0x9"), ...refused("ztoc-version")],
];

function versionOf(text: string): unknown {
  return compileRaw((found) => {
    const at = found.follow(found.field(found.root, 0));
    found.bytes.write(text, at + 4, "latin1");
  });
}

export const entryCases: readonly HostileCase[] = [
  ...[...places, ...inodes, ...names].map(([name, index, changes, code, reason]) => ({
    name: `entry: ${name}`,
    run: () => compileEntry(index, changes),
    code,
    reason,
  })),
  ...special.map(([name, run, code, reason]) => ({ name: `entry: ${name}`, run, code, reason })),
];
