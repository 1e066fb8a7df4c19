import { Code, ConnectError } from "@connectrpc/connect";
import { sha256 } from "../../src/bytes/index.js";
import type { ContentStore } from "../../src/content/index.js";
import type { ProxySnapshotter } from "../../src/snapshotters/index.js";
import type { GateCase } from "./gate-case.js";
import {
  type ContentImpl,
  casesOf,
  type Row,
  type SnapshotsImpl,
  type Wanted,
  withContent,
  withSnapshots,
} from "./gate-liars.js";

const PIECES = 100_000;
const INT64_MAX = 2n ** 63n - 1n;
const digest = sha256(Buffer.from("blob"));
const other = sha256(Buffer.from("other"));

type ContentAct = (store: ContentStore) => Promise<unknown>;
const info: ContentAct = async (store) => (await store.info(digest)).size;
const read: ContentAct = async (store) => {
  await using reader = await store.open(digest);
  return Buffer.from(await reader.read(0, 10)).toString();
};
const list: ContentAct = async (store) => {
  let count = 0;
  for await (const one of store.walk([])) count += one.digest.length > 0 ? 1 : 0;
  return count;
};
const write: ContentAct = async (store) => {
  const writer = await store.writer({ ref: "r", total: 4, expected: digest });
  try {
    await writer.write(Buffer.from("blob"));
    return await writer.commit({ size: 4, expected: digest, labels: {} });
  } finally {
    await writer.close();
  }
};
const says = (size: bigint, name: string = digest): ContentImpl => ({
  info: () => ({ info: { digest: name, size } }),
});
const ofTen = says(10n);
const never = async (): Promise<never> => await new Promise<never>(() => {});
const invalid: Wanted = ["DATA_LOSS", "content-answer-invalid"];
const short: Wanted = ["DATA_LOSS", "blob-short"];
const fails = (code: Code, text: string) => (): never => {
  throw new ConnectError(text, code);
};

/** A Write service that answers each request by `answer`, after how many. */
function answersWrites(
  answer: (request: { action: number; offset: bigint; data: Uint8Array }) => object | undefined,
): ContentImpl {
  return {
    write: async function* (requests) {
      for await (const request of requests) {
        const said = answer(request);
        if (said === undefined) return;
        yield said;
      }
    },
  };
}
const honest = { digest, offset: 0n, total: 4n };
const after = (answer: object) =>
  answersWrites(({ action }) =>
    action === 0 ? { action, ...honest, ...answer } : { action, ...honest, offset: 4n, ...answer },
  );

const contentRows: readonly Row<ContentImpl, ContentAct>[] = [
  ["no info", { info: () => ({}) }, info, ["DATA_LOSS", "content-answer-incomplete"]],
  ["an info of no digest", says(1n, ""), info, ["INVALID_ARGUMENT", "digest-invalid"]],
  [
    "an info of a path for a digest",
    says(1n, "sha256:../../etc/passwd"),
    info,
    ["INVALID_ARGUMENT", "digest-invalid"],
  ],
  ["the info of another blob", says(1n, other), info, ["DATA_LOSS", "content-answer-other"]],
  ["an open that shows another blob", says(1n, other), read, ["DATA_LOSS", "content-answer-other"]],
  ["a size of -1", says(-1n), info, invalid],
  ["a size of -2^63", says(-(2n ** 63n)), info, invalid],
  ["a size of 2^53", says(2n ** 53n), info, invalid],
  ["a size of 2^63-1", says(INT64_MAX), read, invalid],
  ["a size of 2^53-1, and no bytes", { ...says(2n ** 53n - 1n), read: async function* () {} }, read, short],
  [
    "an update that answers another blob",
    { update: () => ({ info: { digest: other } }) },
    (store) => store.update({ digest, labels: {}, fieldPaths: [] }),
    ["DATA_LOSS", "content-answer-other"],
  ],
  [
    "a label of a prototype's name",
    { info: () => ({ info: { digest, size: 1n, labels: { constructor: "x" } } }) },
    async (store) => (await store.info(digest)).labels.constructor,
    { value: "x" },
  ],
  [
    "a time before all times",
    { info: () => ({ info: { digest, size: 1n, createdAt: { seconds: -(2n ** 63n), nanos: -1 } } }) },
    async (store) => (await store.info(digest)).createdAt,
    { value: -(2n ** 63n) * 1_000_000_000n - 1n },
  ],
  ["a read of no message", { ...ofTen, read: async function* () {} }, read, short],
  [
    "a read of one byte less",
    {
      ...ofTen,
      read: async function* () {
        yield { data: Buffer.alloc(9) };
      },
    },
    read,
    short,
  ],
  [
    "a read of one byte more",
    {
      ...ofTen,
      read: async function* () {
        yield { data: Buffer.from("0123456789+") };
      },
    },
    read,
    { value: "0123456789" },
  ],
  [
    "a read of a megabyte more",
    {
      ...ofTen,
      read: async function* () {
        yield { data: Buffer.alloc(1 << 20, "z") };
      },
    },
    read,
    { value: "zzzzzzzzzz" },
  ],
  [
    "a read of ten messages of a byte",
    {
      ...ofTen,
      read: async function* () {
        for (let at = 0; at < 10; at += 1) yield { data: Buffer.from(`${at}`) };
      },
    },
    read,
    { value: "0123456789" },
  ],
  [
    "a read of empty messages without an end",
    {
      ...ofTen,
      read: async function* () {
        for (let at = 0; at < PIECES; at += 1) yield {};
      },
    },
    read,
    short,
  ],
  [
    "a read that never answers",
    {
      ...ofTen,
      read: async function* () {
        yield await never();
      },
    },
    read,
    ["DEADLINE_EXCEEDED", "content-service-slow"],
  ],
  [
    "a read that stops after five bytes",
    {
      ...ofTen,
      read: async function* () {
        yield { data: Buffer.alloc(5) };
        await never();
      },
    },
    read,
    ["DEADLINE_EXCEEDED", "content-service-slow"],
  ],
  [
    "a read with an error behind its bytes",
    {
      ...ofTen,
      read: async function* () {
        yield { data: Buffer.alloc(10) };
        throw new ConnectError("no", Code.DataLoss);
      },
    },
    read,
    ["DATA_LOSS", "content-service-data-loss"],
  ],
  [
    "a message above the limit",
    {
      ...ofTen,
      read: async function* () {
        yield { data: Buffer.alloc((16 << 20) - 4) };
      },
    },
    read,
    ["RESOURCE_EXHAUSTED", "content-service-resource-exhausted"],
  ],
  ["an info that never comes", { info: never }, info, ["DEADLINE_EXCEEDED", "content-service-slow"]],
  ["a service that has no such call", {}, info, ["UNIMPLEMENTED", "content-service-unimplemented"]],
  [
    "an error of an unknown code",
    { info: fails(99 as Code, "odd") },
    info,
    ["INTERNAL", "content-service-internal"],
  ],
  [
    "an error whose text is another code's",
    { info: fails(Code.Internal, "x: not found") },
    info,
    ["INTERNAL", "content-service-internal"],
  ],
  [
    "a list of nothing without an end",
    {
      list: async function* () {
        for (let at = 0; at < PIECES; at += 1) yield {};
      },
    },
    list,
    ["DATA_LOSS", "content-answer-endless"],
  ],
  [
    "a list that never answers",
    {
      list: async function* () {
        yield await never();
      },
    },
    list,
    ["DEADLINE_EXCEEDED", "content-service-slow"],
  ],
  [
    "a list with one bad digest",
    {
      list: async function* () {
        yield {
          info: [
            { digest, size: 1n },
            { digest: "x", size: 1n },
          ],
        };
      },
    },
    list,
    ["INVALID_ARGUMENT", "digest-invalid"],
  ],
  [
    "a list with one bad size",
    {
      list: async function* () {
        yield { info: [{ digest, size: -1n }] };
      },
    },
    list,
    invalid,
  ],
  [
    "a list of 100,000 blobs in one message",
    {
      list: async function* () {
        yield { info: Array.from({ length: 100_000 }, () => ({ digest, size: 1n })) };
      },
    },
    list,
    { value: 100_000 },
  ],
  [
    "an ingest of a negative offset",
    { status: () => ({ status: { ref: "r", offset: -1n } }) },
    (store) => store.status("r"),
    invalid,
  ],
  [
    "an ingest of a total of 2^63-1",
    { status: () => ({ status: { ref: "r", total: INT64_MAX } }) },
    (store) => store.status("r"),
    invalid,
  ],
  [
    "no ingest",
    { status: () => ({}) },
    (store) => store.status("r"),
    ["DATA_LOSS", "content-answer-incomplete"],
  ],
  [
    "ingests, one without a digest that is one",
    { listStatuses: () => ({ statuses: [{ ref: "r", expected: "sha256:0" }] }) },
    (store) => store.statuses([]),
    ["INVALID_ARGUMENT", "digest-invalid"],
  ],
  ["a writer that begins at -1", after({ offset: -1n }), write, invalid],
  ["a writer that begins at 2^53", after({ offset: 2n ** 53n }), write, invalid],
  ["a writer of no digest", after({ digest: "" }), write, ["INVALID_ARGUMENT", "digest-invalid"]],
  [
    "a writer that took fewer bytes",
    answersWrites(({ action }) => ({ action, ...honest, offset: action === 0 ? 0n : 3n })),
    write,
    ["DATA_LOSS", "write-short"],
  ],
  [
    "a writer that took more bytes",
    answersWrites(({ action }) => ({ action, ...honest, offset: action === 0 ? 0n : 5n })),
    write,
    ["DATA_LOSS", "write-short"],
  ],
  [
    "a writer that answers nothing",
    {
      write: async function* () {
        yield await never();
      },
    },
    write,
    ["DEADLINE_EXCEEDED", "content-service-slow"],
  ],
  [
    "a writer that ends at once",
    { write: async function* () {} },
    write,
    ["FAILED_PRECONDITION", "writer-closed"],
  ],
];

/** A Write that answers honestly but for the commit. */
const commits = (answer: object): ContentImpl => {
  let stats = 0;
  return answersWrites(({ action }) => {
    if (action === 2) return { action, ...honest, offset: 4n, ...answer };
    stats += action === 0 ? 1 : 0;
    return { action, ...honest, offset: stats === 1 && action === 0 ? 0n : 4n };
  });
};
const commitRows: readonly Row<ContentImpl, ContentAct>[] = [
  ["a commit of what was sent", commits({}), write, { value: digest }],
  ["a commit of another digest", commits({ digest: other }), write, ["DATA_LOSS", "commit-differs"]],
  ["a commit of no digest", commits({ digest: "" }), write, ["INVALID_ARGUMENT", "digest-invalid"]],
  ["a commit of another size", commits({ offset: 3n }), write, ["DATA_LOSS", "commit-differs"]],
  ["a commit of a size below zero", commits({ offset: -4n }), write, ["DATA_LOSS", "commit-differs"]],
];

type SnapshotAct = (snapshotter: ProxySnapshotter) => Promise<unknown>;
const stat: SnapshotAct = async (snapshotter) => await snapshotter.stat("k");
const usage: SnapshotAct = async (snapshotter) => await snapshotter.usage("k");
const mounts: SnapshotAct = async (snapshotter) => (await snapshotter.mounts("k")).length;
const walk: SnapshotAct = async (snapshotter) => {
  let count = 0;
  for await (const one of snapshotter.walk([])) count += one.name === "" ? 0 : 1;
  return count;
};
const uncounted: Wanted = ["DATA_LOSS", "snapshotter-answer-invalid"];
const slow: Wanted = ["DEADLINE_EXCEEDED", "snapshotter-slow"];
const bare = { key: "k", parent: "", labels: {} };

const snapshotRows: readonly Row<SnapshotsImpl, SnapshotAct>[] = [
  ["no info", { stat: () => ({}) }, stat, ["DATA_LOSS", "snapshotter-answer-incomplete"]],
  [
    "a kind that is unknown",
    { stat: () => ({ info: { name: "k", kind: 77 as number } }) },
    async (one) => (await one.stat("k")).kind,
    { value: "committed" },
  ],
  ["a use of -1 bytes", { usage: () => ({ size: -1n }) }, usage, uncounted],
  ["a use of 2^63-1 bytes", { usage: () => ({ size: INT64_MAX }) }, usage, uncounted],
  ["a use of -1 inodes", { usage: () => ({ inodes: -1n }) }, usage, uncounted],
  ["a use of 2^53 inodes", { usage: () => ({ inodes: 2n ** 53n }) }, usage, uncounted],
  ["no mounts", { mounts: () => ({}) }, mounts, { value: 0 }],
  [
    "10,000 mounts",
    { mounts: () => ({ mounts: Array.from({ length: 10_000 }, () => ({ type: "bind" })) }) },
    mounts,
    { value: 10_000 },
  ],
  ["mounts that never come", { mounts: never }, mounts, slow],
  ["a stat that never comes", { stat: never }, stat, slow],
  ["a prepare that never ends", { prepare: never }, (one) => one.prepare(bare), slow],
  ["a commit that never ends", { commit: never }, (one) => one.commit({ ...bare, name: "n" }), slow],
  ["a removal that never ends", { remove: never }, (one) => one.remove("k"), slow],
  [
    "a list that never answers",
    {
      list: async function* () {
        yield await never();
      },
    },
    walk,
    slow,
  ],
  [
    "a list of snapshots of no name",
    {
      list: async function* () {
        yield { info: [{}, {}] };
      },
    },
    walk,
    { value: 0 },
  ],
  [
    "a message above the limit",
    { mounts: () => ({ mounts: [{ source: "a".repeat(17 << 20) }] }) },
    mounts,
    ["RESOURCE_EXHAUSTED", "snapshotter-resource-exhausted"],
  ],
  [
    "a prepare that exists",
    { prepare: fails(Code.AlreadyExists, "x: already exists") },
    (one) => one.prepare(bare),
    ["ALREADY_EXISTS", "snapshotter-already-exists"],
  ],
  [
    "an error of an unknown code",
    { stat: fails(55 as Code, "odd") },
    stat,
    ["INTERNAL", "snapshotter-internal"],
  ],
  ["a service that has no such call", {}, stat, ["UNIMPLEMENTED", "snapshotter-unimplemented"]],
  [
    "a label of a prototype's name",
    { stat: () => ({ info: { name: "k", labels: { toString: "x" } } }) },
    async (one) => Object.entries((await one.stat("k")).labels),
    { value: [["toString", "x"]] },
  ],
];

export const proxyCases: readonly GateCase[] = [
  ...casesOf("A-content", withContent, [...contentRows, ...commitRows]),
  ...casesOf("A-snap", withSnapshots, snapshotRows),
];
