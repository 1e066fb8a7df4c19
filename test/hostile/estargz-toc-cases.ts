import type { ErrorCode } from "../../src/errors/index.js";
import { compileToc, type TocLimit, type TocReason } from "../../src/estargz/index.js";
import {
  buildEstargz,
  type TocChange as Change,
  changedToc,
  type TocEntryJson,
} from "../../testing/estargz-builder.js";
import type { HostileCase } from "./estargz-case.js";

const layer = buildEstargz(
  [
    { name: "d", type: "dir" },
    { name: "d/a", type: "reg", content: "0123456789" },
    { name: "b", type: "reg", content: "one" },
    { name: "s", type: "symlink", linkName: "b" },
    { name: "h", type: "hardlink", linkName: "b" },
    { name: "e", type: "reg" },
  ],
  { chunkSize: 4 },
);

/** Places of the entries in the layer's TOC; d/a has three chunks. */
const at = { landmark: 0, d: 1, a: 2, a2: 3, a3: 4, b: 5, s: 6, h: 7, e: 8 } as const;

type Reason =
  | TocReason
  | TocLimit
  | "json-invalid"
  | "json-duplicate-key"
  | "json-too-deep"
  | "json-too-many-values";
type Row = readonly [name: string, change: Change, reason: Reason];

const set =
  (index: number, fields: object): Change =>
  (toc) => {
    Object.assign(toc.entries[index]!, fields);
  };
const add =
  (...entries: readonly TocEntryJson[]): Change =>
  (toc) => {
    toc.entries.push(...entries);
  };
const only =
  (entries: unknown): Change =>
  () => ({ version: 1, entries });
const entry = (name: string, fields: object = {}): TocEntryJson => ({ name, type: "dir", ...fields });
const link = (name: string, linkName: string): TocEntryJson => ({ name, type: "hardlink", linkName });
/** JSON text, for what JSON.stringify can't write. */
const raw = (text: string): Buffer => Buffer.from(text);
const rawEntry = (text: string): Buffer => raw(`{"version":1,"entries":[${text}]}`);

const documents: readonly Row[] = [
  ["empty text", raw(""), "json-invalid"],
  ["null", raw("null"), "toc-malformed"],
  ["an array", raw("[]"), "toc-malformed"],
  ["a number", raw("1"), "toc-malformed"],
  ["a text", raw('"x"'), "toc-malformed"],
  ["garbage behind", raw('{"version":1,"entries":[]}{}'), "json-invalid"],
  ["NUL behind", raw('{"version":1,"entries":[]}\0'), "json-invalid"],
  ["byte order mark", raw('\ufeff{"version":1,"entries":[]}'), "json-invalid"],
  ["cut", (toc) => Buffer.from(JSON.stringify(toc).slice(0, -2)), "json-invalid"],
  [
    "not UTF-8",
    Buffer.concat([raw('{"version":1,"entries":[{"name":"'), Buffer.from([0xff]), raw('","type":"dir"}]}')]),
    "json-invalid",
  ],
  ["version missing", () => ({ entries: [] }), "toc-version"],
  ["version 0", () => ({ version: 0, entries: [] }), "toc-version"],
  ["version 2", () => ({ version: 2, entries: [] }), "toc-version"],
  ['version "1"', () => ({ version: "1", entries: [] }), "toc-version"],
  ["version in the prototype", raw('{"__proto__":{"version":1},"entries":[]}'), "toc-version"],
  ["entries missing", () => ({ version: 1 }), "toc-malformed"],
  ["entries as object", only({}), "toc-malformed"],
  ["entries as text", only("x"), "toc-malformed"],
  ["entries twice", raw('{"version":1,"entries":[],"entries":[]}'), "json-duplicate-key"],
  ["version twice", raw('{"version":2,"entries":[],"version":1}'), "json-duplicate-key"],
  ["entries closed by a brace", raw('{"version":1,"entries":[}}'), "json-invalid"],
  [
    "entry missing between commas",
    rawEntry('{"name":"a","type":"dir"},,{"name":"b","type":"dir"}'),
    "json-invalid",
  ],
  ["comma behind the last entry", rawEntry('{"name":"a","type":"dir"},'), "json-invalid"],
  [
    "10^5 brackets",
    () => raw(`{"version":1,"entries":${"[".repeat(100_000)}${"]".repeat(100_000)}}`),
    "json-too-deep",
  ],
  [
    "10^5 braces in an unknown key",
    () => raw(`{"version":1,"x":${'{"x":'.repeat(100_000)}`),
    "json-too-deep",
  ],
  [
    "50 million values in an unknown key",
    () => raw(`{"version":1,"x":[${"0,".repeat(50_000_000)}0],"entries":[]}`),
    "json-too-many-values",
  ],
  [
    "2 million and one entries",
    () => raw(`{"version":1,"entries":[${"0,".repeat(2_000_000)}0]}`),
    "toc-too-many-entries",
  ],
];

const shapes: readonly Row[] = [
  ["entry null", only([null]), "toc-entry-malformed"],
  ["entry as array", only([[]]), "toc-entry-malformed"],
  ["entry as number", only([1]), "toc-entry-malformed"],
  [
    "10^6 null entries",
    () => raw(`{"version":1,"entries":[${"null,".repeat(999_999)}null]}`),
    "toc-entry-malformed",
  ],
  ["name missing", only([{ type: "dir" }]), "toc-entry-malformed"],
  ["name null", only([{ name: null, type: "dir" }]), "toc-entry-malformed"],
  ["name as number", only([{ name: 1, type: "dir" }]), "toc-entry-malformed"],
  ["name as object", only([{ name: {}, type: "dir" }]), "toc-entry-malformed"],
  ["name from the prototype", rawEntry('{"__proto__":{"name":"x"},"type":"dir"}'), "toc-entry-malformed"],
  ["name twice", rawEntry('{"name":"a","type":"dir","name":"b"}'), "json-duplicate-key"],
  ["name twice, once escaped", rawEntry('{"name":"a","type":"dir","n\\u0061me":"b"}'), "json-duplicate-key"],
  ["type missing", only([{ name: "x" }]), "toc-entry-type"],
  ["type unknown", only([entry("x", { type: "socket" })]), "toc-entry-type"],
  ["type toString", only([entry("x", { type: "toString" })]), "toc-entry-type"],
  ["type __proto__", only([entry("x", { type: "__proto__" })]), "toc-entry-type"],
  ["type in upper case", only([entry("x", { type: "DIR" })]), "toc-entry-type"],
  ["type as number", only([entry("x", { type: 5 })]), "toc-entry-malformed"],
  ["modtime as number", set(at.d, { modtime: 5 }), "toc-entry-malformed"],
  ["linkName as array", set(at.s, { linkName: ["b"] }), "toc-entry-malformed"],
];

const long = "x".repeat(255);
const names: readonly Row[] = [
  ["..", add(entry("..")), "toc-name"],
  ["../x", add(entry("../x")), "toc-name"],
  ["/../x", add(entry("/../x")), "toc-name"],
  ["a/../../x", add(entry("a/../../x")), "toc-name"],
  ["x/..", add(entry("x/..")), "toc-name"],
  ["NUL inside", add(entry("x\0y")), "toc-name"],
  ["NUL in a link's target", add({ ...entry("x"), type: "symlink", linkName: "a\0b" }), "toc-name"],
  ["U+FFFD in a name", add(entry("x\ufffd")), "toc-name-lossy"],
  ["half a surrogate pair in a name", rawEntry('{"name":"x\\ud800","type":"dir"}'), "toc-name-lossy"],
  [
    "U+FFFD in a link's target",
    add({ ...entry("x"), type: "symlink", linkName: "\ufffd" }),
    "toc-name-lossy",
  ],
  ["256 bytes in a component", add(entry(`${long}x`)), "toc-path-too-long"],
  ["256 bytes in a component, fewer characters", add(entry("é".repeat(128))), "toc-path-too-long"],
  ["256 bytes in a folder", add(entry(`${long}x/y`)), "toc-path-too-long"],
  ["4097 bytes in a path", add(entry(`${`${long}/`.repeat(16)}y`)), "toc-path-too-long"],
  ["1025 components", add(entry("x/".repeat(1025))), "toc-path-too-long"],
  ["10^6 components", add(entry("x/".repeat(1_000_000))), "toc-path-too-long"],
  [
    "100 MB in a name",
    () => rawEntry(`{"name":"${"x".repeat(100_000_000)}","type":"dir"}`),
    "toc-path-too-long",
  ],
  ["4 million implied folders", () => ({ version: 1, entries: deepEntries(8000) }), "toc-too-many-entries"],
  ["root as file", add(entry(".", { type: "reg" })), "toc-root"],
  ["root as symlink", add({ ...entry("/"), type: "symlink", linkName: "b" }), "toc-root"],
  ["root as hard link", add(link("./", "b")), "toc-root"],
  ["root by an empty name, as a device", add(entry("", { type: "char" })), "toc-root"],
  ["landmark as folder", set(at.landmark, { type: "dir" }), "toc-reserved-name"],
  ["landmark as symlink", set(at.landmark, { type: "symlink", linkName: "b" }), "toc-reserved-name"],
  ["landmark twice", (toc) => toc.entries.push(toc.entries[at.landmark]!), "toc-reserved-name"],
  [
    "landmark empty",
    (toc) => toc.entries.splice(0, 1, entry(".prefetch.landmark", { type: "reg" })),
    "toc-reserved-name",
  ],
  ["landmark of 3 bytes", set(at.b, { name: ".prefetch.landmark" }), "toc-reserved-name"],
  ["TOC in the TOC, as folder", add(entry("stargz.index.json")), "toc-reserved-name"],
];

/** Paths of 500 components each that share nothing. */
function deepEntries(count: number): TocEntryJson[] {
  return Array.from({ length: count }, (_, index) => entry(`${index}/${"x/".repeat(500)}`));
}

const trees: readonly Row[] = [
  ["entry under a file", add(entry("b/x")), "toc-parent"],
  ["entry under an empty file", add(entry("e/x/y")), "toc-parent"],
  ["entry under a symlink", add(entry("s/x")), "toc-parent"],
  [
    "entry under a symlink to a folder",
    add({ ...entry("l"), type: "symlink", linkName: "d" }, entry("l/x")),
    "toc-parent",
  ],
  ["entry under a hard link", add(entry("h/x")), "toc-parent"],
  ["entry under a device", add(entry("c", { type: "char" }), entry("c/x")), "toc-parent"],
  ["folder becomes a file", add(entry("d", { type: "reg" })), "toc-kind-conflict"],
  ["implied folder becomes a file", add(entry("i/x"), entry("i", { type: "reg" })), "toc-kind-conflict"],
  ["file becomes a folder", add(entry("b")), "toc-kind-conflict"],
  ["symlink becomes a folder", add(entry("s")), "toc-kind-conflict"],
  ["folder becomes a hard link", add(link("d", "b")), "toc-kind-conflict"],
  ["hard link to itself", add(link("x", "x")), "toc-hardlink-cycle"],
  ["hard link to itself by another spelling", add(link("x", "./x")), "toc-hardlink-cycle"],
  ["two hard links to each other", add(link("x", "y"), link("y", "x")), "toc-hardlink-cycle"],
  ["100,000 hard links in a ring", add(...ring(100_000)), "toc-hardlink-cycle"],
  [
    "chain of hard links into a ring",
    add(link("w", "x"), link("x", "y"), link("y", "x")),
    "toc-hardlink-cycle",
  ],
  ["hard link to nothing", add(link("x", "nothing")), "toc-hardlink-missing"],
  ["hard link without a target", add(entry("x", { type: "hardlink" })), "toc-hardlink-target"],
  ["hard link through a file", add(link("x", "b/b")), "toc-hardlink-missing"],
  [
    "hard link through a symlink",
    add({ ...entry("l"), type: "symlink", linkName: "d" }, link("x", "l/a")),
    "toc-hardlink-missing",
  ],
  ["hard link out of the root", add(link("x", "../b")), "toc-name"],
  ["hard link to a folder", add(link("x", "d")), "toc-hardlink-target"],
  ["hard link to the root", add(link("x", "/")), "toc-hardlink-target"],
  [
    "hard link to a whiteout",
    add(entry(".wh.w", { type: "reg" }), link("x", ".wh.w")),
    "toc-hardlink-target",
  ],
  ["hard link to a landmark", add(link("x", ".no.prefetch.landmark")), "toc-hardlink-missing"],
  ["hard link to the TOC", add(link("x", "stargz.index.json")), "toc-hardlink-missing"],
  [
    "hard link to one of two files",
    (toc) => toc.entries.push({ ...toc.entries[at.b] } as TocEntryJson),
    "toc-hardlink-target",
  ],
  ["hard link to toString", add(link("x", "toString")), "toc-hardlink-missing"],
  ["symlink without a target", set(at.s, { linkName: "" }), "toc-symlink"],
  ["symlink with a target of 4096 bytes", set(at.s, { linkName: "x".repeat(4096) }), "toc-symlink"],
];

function ring(count: number): TocEntryJson[] {
  return Array.from({ length: count }, (_, index) => link(`r${index}`, `r${(index + 1) % count}`));
}

const chunks: readonly Row[] = [
  ["chunk before any file", only([{ name: "x", type: "chunk", chunkSize: 1 }]), "toc-chunk-orphan"],
  ["chunk of a folder", add(entry("x"), { name: "x", type: "chunk" }), "toc-chunk-orphan"],
  ["chunk of a symlink", (toc) => toc.entries.splice(at.h, 0, toc.entries[at.a2]!), "toc-chunk-orphan"],
  ["chunk of a hard link", (toc) => toc.entries.splice(at.e, 0, toc.entries[at.a2]!), "toc-chunk-orphan"],
  ["chunk of an empty file", (toc) => toc.entries.push(toc.entries[at.a2]!), "toc-chunk-partition"],
  [
    "chunk behind a whole file",
    (toc) => toc.entries.splice(at.s, 0, toc.entries[at.a3]!),
    "toc-chunk-partition",
  ],
  ["gap", set(at.a2, { chunkOffset: 5 }), "toc-chunk-partition"],
  ["overlap", set(at.a2, { chunkOffset: 3 }), "toc-chunk-partition"],
  ["same chunk twice", (toc) => toc.entries.splice(at.a3, 0, toc.entries[at.a2]!), "toc-chunk-partition"],
  [
    "chunks reversed",
    (toc) => toc.entries.splice(at.a2, 2, toc.entries[at.a3]!, toc.entries[at.a2]!),
    "toc-chunk-partition",
  ],
  ["first chunk not at 0", set(at.a, { chunkOffset: 1 }), "toc-chunk-partition"],
  ["last chunk missing", (toc) => toc.entries.splice(at.a3, 1), "toc-chunk-partition"],
  [
    "chunks end before the file, sizes stated",
    (toc) => {
      Object.assign(toc.entries[at.a]!, { size: 11 });
      Object.assign(toc.entries[at.a3]!, { chunkSize: 2 });
    },
    "toc-chunk-partition",
  ],
  ["chunks end behind the file", set(at.a, { size: 7 }), "toc-chunk-partition"],
  ["chunk longer than the rest", set(at.a3, { chunkSize: 3 }), "toc-chunk-partition"],
  ["chunk longer than the file", set(at.b, { chunkSize: 4 }), "toc-chunk-partition"],
  ["chunk of 2^53 - 1 bytes", set(at.b, { chunkSize: 2 ** 53 - 1 }), "toc-chunk-partition"],
  ["chunk behind the end", set(at.a3, { chunkOffset: 10 }), "toc-chunk-partition"],
  ["size of a whole file on its first chunk", set(at.a, { chunkSize: 0 }), "toc-chunk-digest"],
  ["chunk of 64 MiB and a byte", set(at.b, { size: 2 ** 26 + 1 }), "toc-unit-too-large"],
  ["chunk of 2^52 bytes", set(at.b, { size: 2 ** 43 }), "toc-unit-too-large"],
  [
    "files of more than 16 TiB",
    (toc) => {
      Object.assign(toc.entries[at.b]!, { size: 2 ** 44, chunkSize: 1 });
    },
    "toc-data-too-large",
  ],
  ["inner offset behind 256 MiB", set(at.b, { innerOffset: 2 ** 28 }), "toc-stream-too-large"],
  ["inner offset 2^53 - 1", set(at.b, { innerOffset: 2 ** 53 - 1 }), "toc-stream-too-large"],
  ["offset missing", set(at.b, { offset: undefined }), "toc-chunk-offset"],
  ["offset = end of payload", set(at.b, { offset: layer.payloadEnd }), "toc-chunk-offset"],
  ["offset behind the blob", set(at.b, { offset: layer.blob.length + 1 }), "toc-chunk-offset"],
  ["offset 2^53 - 1", set(at.b, { offset: 2 ** 53 - 1 }), "toc-chunk-offset"],
  [
    "two files at one place",
    (toc) => {
      toc.entries[at.b]!.offset = toc.entries[at.a3]!.offset;
    },
    "toc-chunk-order",
  ],
  [
    "two chunks at one place",
    (toc) => {
      toc.entries[at.a2]!.offset = toc.entries[at.a]!.offset;
    },
    "toc-chunk-order",
  ],
  [
    "two chunks that overlap in a stream",
    (toc) => {
      Object.assign(toc.entries[at.a2]!, { offset: toc.entries[at.a]!.offset, innerOffset: 3 });
    },
    "toc-chunk-order",
  ],
  [
    "chunks of a file backwards in the blob",
    (toc) => {
      const [first, second] = [toc.entries[at.a]!, toc.entries[at.a2]!];
      [first.offset, second.offset] = [second.offset, first.offset];
    },
    "toc-chunk-order",
  ],
  [
    "a file between the chunks of another",
    (toc) => {
      toc.entries[at.b]!.offset = (toc.entries[at.a]!.offset as number) + 1;
    },
    "toc-chunk-order",
  ],
];

const upper = (text: unknown): string => String(text).replace(/[a-f0-9]+$/, (hex) => hex.toUpperCase());
const digests: readonly Row[] = [
  ["no digest at all", set(at.b, { digest: undefined, chunkDigest: undefined }), "toc-chunk-digest"],
  ["digest of the file only, but several chunks", set(at.a, { chunkDigest: undefined }), "toc-chunk-digest"],
  ["no digest on a later chunk", set(at.a2, { chunkDigest: undefined }), "toc-chunk-digest"],
  [
    "digest of a later chunk under the wrong key",
    (toc) => {
      const chunk = toc.entries[at.a2]!;
      toc.entries[at.a2] = { ...chunk, digest: chunk.chunkDigest, chunkDigest: undefined };
    },
    "toc-chunk-digest",
  ],
  ["two digests that disagree", set(at.b, { digest: `sha256:${"0".repeat(64)}` }), "toc-chunk-digest"],
  [
    "digest of another algorithm",
    set(at.a, { chunkDigest: `sha512:${"0".repeat(128)}` }),
    "toc-chunk-digest",
  ],
  ["digest md5", set(at.a, { chunkDigest: `md5:${"0".repeat(32)}` }), "toc-chunk-digest"],
  ["digest without algorithm", set(at.a, { chunkDigest: "0".repeat(64) }), "toc-chunk-digest"],
  [
    "digest in upper case",
    (toc) => {
      toc.entries[at.a]!.chunkDigest = upper(toc.entries[at.a]!.chunkDigest);
    },
    "toc-chunk-digest",
  ],
  ["digest too short", set(at.a, { chunkDigest: `sha256:${"0".repeat(63)}` }), "toc-chunk-digest"],
  ["digest too long", set(at.a, { chunkDigest: `sha256:${"0".repeat(65)}` }), "toc-chunk-digest"],
  ["digest with a newline", set(at.a, { chunkDigest: `sha256:${"0".repeat(64)}\n` }), "toc-chunk-digest"],
  ["digest as number", set(at.a, { chunkDigest: 5 }), "toc-entry-malformed"],
  ["empty file with another digest", set(at.e, { digest: `sha256:${"0".repeat(64)}` }), "toc-chunk-digest"],
];

const numberValues: Readonly<Record<string, string>> = {
  "-1": "-1",
  "-2^63": "-9223372036854775808",
  "1.5": "1.5",
  "2^53": "9007199254740992",
  "2^53 + 1": "9007199254740993",
  "2^64": "18446744073709551616",
  "1e400": "1e400",
  "a text": '"12"',
  "a boolean": "true",
  "an array": "[1]",
};
const numberKeys = ["size", "offset", "innerOffset", "chunkSize", "chunkOffset", "mode"] as const;

const numbers: readonly Row[] = [
  ...Object.entries(numberValues).flatMap(([name, text]) =>
    numberKeys.map((key): Row => {
      const change: Change = (toc) => {
        toc.entries[at.b]![key] = "@@";
        return raw(JSON.stringify(toc).replace('"@@"', text));
      };
      return [`${key} ${name}`, change, "toc-number"];
    }),
  ),
  ["uid -1", set(at.d, { uid: -1 }), "toc-number"],
  ["uid 2^32", set(at.d, { uid: 2 ** 32 }), "toc-number"],
  ["gid 2^32", set(at.d, { gid: 2 ** 32 }), "toc-number"],
  ["gid as text", set(at.d, { gid: "0" }), "toc-number"],
  ["size 2^44 + 1", set(at.b, { size: 2 ** 44 + 1 }), "toc-number"],
  ["device major -1", add(entry("x", { type: "char", devMajor: -1 })), "toc-number"],
  ["device major 4096", add(entry("x", { type: "char", devMajor: 4096 })), "toc-device"],
  ["device minor 2^20", add(entry("x", { type: "block", devMinor: 2 ** 20 })), "toc-device"],
  ["device minor 2^32", add(entry("x", { type: "block", devMinor: 2 ** 32 })), "toc-device"],
];

const times: readonly Row[] = [
  "yesterday",
  "2020-01-01",
  "2020-01-01T00:00:00",
  "2020-01-01t00:00:00z",
  "2020-02-30T00:00:00Z",
  "2020-13-01T00:00:00Z",
  "2020-01-01T24:00:00Z",
  "2020-01-01T00:00:61Z",
  "2020-01-01T00:00:00+25:00",
  "10000-01-01T00:00:00Z",
  "-001-01-01T00:00:00Z",
  "2020-01-01T00:00:00.Z",
  "2020-01-01T00:00:00.1234567890Z",
  "2020-01-01T00:00:00Z ",
  "9".repeat(100_000),
].map((text): Row => [`time ${text.slice(0, 40)}`, set(at.d, { modtime: text }), "toc-time"]);

const xattr = (name: string, value: unknown): Change => set(at.d, { xattrs: { [name]: value } });
const xattrs: readonly Row[] = [
  ["xattrs as text", set(at.d, { xattrs: "x" }), "toc-xattr"],
  ["xattrs as array", set(at.d, { xattrs: [] }), "toc-xattr"],
  ["xattr without a name", xattr("", ""), "toc-xattr"],
  ["xattr with a name of 256 bytes", xattr(`user.${"x".repeat(251)}`, ""), "toc-xattr"],
  ["xattr with NUL in its name", xattr("user.a\0b", ""), "toc-name"],
  ["xattr with a lost name", xattr("user.\ufffd", ""), "toc-name-lossy"],
  ["xattr value as number", xattr("user.a", 1), "toc-xattr"],
  ["xattr value not base64", xattr("user.a", "a*=="), "toc-xattr"],
  ["xattr value without padding", xattr("user.a", "YQ"), "toc-xattr"],
  ["xattr value in URL base64", xattr("user.a", "_-__"), "toc-xattr"],
  ["xattr value with newline", xattr("user.a", "YWFh\nYWFh"), "toc-xattr"],
  ["xattr value of 64 KiB and a byte", xattr("user.a", Buffer.alloc(65_537).toString("base64")), "toc-xattr"],
  ["xattr value of 20 MB", xattr("user.a", "A".repeat(20_000_000)), "toc-xattr"],
  [
    "xattr twice",
    rawEntry('{"name":"x","type":"dir","xattrs":{"user.a":"","user.a":""}}'),
    "json-duplicate-key",
  ],
  [
    "xattr names of more than 64 KiB",
    set(at.d, {
      xattrs: Object.fromEntries(
        Array.from({ length: 400 }, (_, index) => [`user.${"x".repeat(200)}${index}`, ""]),
      ),
    }),
    "toc-xattr",
  ],
];

function codeOf(reason: Reason): ErrorCode {
  return /-too-/.test(reason) ? "RESOURCE_EXHAUSTED" : "INVALID_ARGUMENT";
}

export const tocCases: readonly HostileCase[] = [
  ...documents,
  ...shapes,
  ...names,
  ...trees,
  ...chunks,
  ...digests,
  ...numbers,
  ...times,
  ...xattrs,
].map(([name, change, reason]) => ({
  name,
  code: codeOf(reason),
  reason,
  run: () => {
    const { blob, payloadEnd } = layer;
    compileToc({ toc: changedToc(layer, change), blobSize: blob.length, payloadEnd, blockSize: 4096 });
  },
}));
