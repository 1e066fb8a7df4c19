import type { ErrorCode } from "../../src/errors/index.js";
import type { HostileCase } from "./estargz-case.js";
import { compileRaw, type Places } from "./soci-case.js";

const malformed = ["INVALID_ARGUMENT", "ztoc-flatbuffer"] as const;

type Row = readonly [name: string, change: (places: Places) => unknown, code: ErrorCode, reason: string];

const u32 = (value: number, at: (places: Places) => number) => (places: Places) => {
  places.bytes.writeUInt32LE(value >>> 0, at(places));
};
const u16 = (value: number, at: (places: Places) => number) => (places: Places) => {
  places.bytes.writeUInt16LE(value, at(places));
};

const root: readonly Row[] = [
  ["no byte at all", () => Buffer.alloc(0), ...malformed],
  ["three bytes", () => Buffer.alloc(3), ...malformed],
  ["root = 0, itself", u32(0, () => 0), ...malformed],
  ["root = 2, inside its own offset", u32(2, () => 0), ...malformed],
  ["root behind the end", ({ bytes }) => bytes.writeUInt32LE(bytes.length, 0), ...malformed],
  ["root at the last byte", ({ bytes }) => bytes.writeUInt32LE(bytes.length - 1, 0), ...malformed],
  ["root 2^31", u32(2 ** 31, () => 0), ...malformed],
  ["root 2^32 - 1", u32(2 ** 32 - 1, () => 0), ...malformed],
  ["cut off behind the root", ({ bytes, root: at }) => bytes.subarray(0, at + 4), ...malformed],
  ["cut off by one byte", ({ bytes }) => bytes.subarray(0, bytes.length - 1), ...malformed],
  ["cut in half", ({ bytes }) => bytes.subarray(0, bytes.length >>> 1), ...malformed],
  ["zeros only", () => Buffer.alloc(4096), ...malformed],
  ["0xff only", () => Buffer.alloc(4096, 0xff), ...malformed],
];

const vtables: readonly Row[] = [
  ["vtable before the start", ({ bytes, root: at }) => bytes.writeInt32LE(at + 1, at), ...malformed],
  ["vtable behind the end", ({ bytes, root: at }) => bytes.writeInt32LE(-bytes.length, at), ...malformed],
  ["vtable distance -2^31", ({ bytes, root: at }) => bytes.writeInt32LE(-(2 ** 31), at), ...malformed],
  ["vtable of 0 bytes", u16(0, (places) => places.vtable(places.root)), ...malformed],
  ["vtable of 2 bytes", u16(2, (places) => places.vtable(places.root)), ...malformed],
  ["vtable of 5 bytes", u16(5, (places) => places.vtable(places.root)), ...malformed],
  ["vtable of 65,534 bytes over the end", (places) => lastTable(places, 65_534), ...malformed],
  ["table of 0 bytes", u16(0, (places) => places.vtable(places.root) + 2), ...malformed],
  ["table of 3 bytes", u16(3, (places) => places.vtable(places.root) + 2), ...malformed],
  ["field behind its table", u16(0xfff0, (places) => places.vtable(places.root) + 4), ...malformed],
  ["field inside the vtable's offset", u16(2, (places) => places.vtable(places.root) + 4), ...malformed],
  ["no toc", u16(0, (places) => places.vtable(places.root) + 12), ...malformed],
  ["no compression info", u16(0, (places) => places.vtable(places.root) + 14), ...malformed],
];

/** A table near the end whose vtable is the table itself: its size claims what is not there. */
function lastTable({ bytes }: Places, size: number): Buffer {
  const end = Buffer.alloc(8);
  end.writeUInt16LE(size, 4);
  const copy = Buffer.concat([bytes, end]);
  copy.writeUInt32LE(bytes.length, 0);
  copy.writeInt32LE(-4, bytes.length);
  return copy;
}

const vectors: readonly Row[] = [
  ["entries: length 2^31", u32(2 ** 31, (places) => places.metadata), ...malformed],
  ["entries: length 2^32 - 1", u32(2 ** 32 - 1, (places) => places.metadata), ...malformed],
  [
    "entries: length 2^30, whose bytes wrap at 32 bits",
    u32(2 ** 30, (places) => places.metadata),
    ...malformed,
  ],
  ["entries: length off by a million", u32(1_000_005, (places) => places.metadata), ...malformed],
  [
    "entries: offset of the vector leads outside",
    u32(2 ** 31 - 1, (places) => places.field(places.toc, 0)),
    ...malformed,
  ],
  ["entry leads to itself", u32(0, (places) => places.metadata + 4), ...malformed],
  ["entry leads outside", u32(2 ** 31, (places) => places.metadata + 4), ...malformed],
  ["every entry is one table", oneTable, "INVALID_ARGUMENT", "ztoc-entry-order"],
  ["toc is the table of the root's first text", (places) => circle(places), ...malformed],
  ["text: length 2^31", u32(2 ** 31, (places) => places.follow(places.field(places.entry, 0))), ...malformed],
  ["text: length up to the end of the buffer", longText, ...malformed],
  ["text without its zero", unterminated, ...malformed],
  [
    "checkpoints: length 2^31",
    u32(2 ** 31, (places) => places.follow(places.field(places.compressionInfo, 3))),
    ...malformed,
  ],
  [
    "span digests: length 2^31",
    u32(2 ** 31, (places) => places.follow(places.field(places.compressionInfo, 2))),
    ...malformed,
  ],
  ["four texts that are one of a megabyte", sharedTexts, "RESOURCE_EXHAUSTED", "ztoc-too-large"],
];

function oneTable(places: Places): void {
  const { bytes, metadata } = places;
  for (let index = 1; index < bytes.readUInt32LE(metadata); index++) {
    const at = metadata + 4 + index * 4;
    bytes.writeUInt32LE(places.entry - at, at);
  }
}

/** All offsets lead forward: to go back, one has to go round 2^32. */
function circle(places: Places): void {
  const at = places.field(places.root, 4);
  places.bytes.writeUInt32LE((places.root - at) >>> 0, at);
}

function longText(places: Places): void {
  const at = places.follow(places.field(places.entry, 0));
  places.bytes.writeUInt32LE(places.bytes.length - at - 4, at);
}

function unterminated(places: Places): void {
  const at = places.follow(places.field(places.entry, 0));
  places.bytes[at + 4 + places.bytes.readUInt32LE(at)] = 0x41;
}

/** Four fields of an entry lead to one text of a megabyte. */
function sharedTexts(places: Places): Buffer {
  const { bytes } = places;
  const text = Buffer.alloc(4 + 2 ** 20 + 1);
  text.writeUInt32LE(2 ** 20);
  for (const field of [0, 4, 8, 9]) {
    const at = places.field(places.entry, field);
    bytes.writeUInt32LE(bytes.length - at, at);
  }
  return Buffer.concat([bytes, text]);
}

export const flatbufferCases: readonly HostileCase[] = [...root, ...vtables, ...vectors].map(
  ([name, change, code, reason]) => ({
    name: `flatbuffer: ${name}`,
    run: () => compileRaw(change),
    code,
    reason,
  }),
);
