import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ErofsReader, writeErofs } from "../../src/erofs/index.js";
import { createEventExchange, type EventEnvelope } from "../../src/events/index.js";
import { unpackCheckpoint } from "../../src/services/tasks-checkpoint.js";
import { type RawEntry, rawTar } from "../../testing/tar/index.js";
import { directory, file, symlink } from "../erofs/trees.js";
import { answers, type GateCase, refusals } from "./gate-case.js";

const SUPERBLOCK = 1024;
const NAMES_MAX = 10_000;
const image = writeErofs({
  root: directory({
    folder: directory(
      Object.fromEntries(Array.from({ length: 40 }, (_, at) => [`name-${at}`, symlink("to")])),
    ),
    data: file(8192, 0),
    empty: file(0),
  }),
  blockSize: 4096,
  dataSize: 8192,
});
const rootSlot = image.readUInt16LE(SUPERBLOCK + 14);
const root = rootSlot * 32;

/** Names of a walk as the file map does it, of each folder the first time that it comes. */
function walked(bytes: Buffer): number {
  const reader = new ErofsReader({
    size: bytes.length,
    read: (offset, length) => {
      if (offset < 0 || length < 0 || offset + length > bytes.length) throw new RangeError("past the image");
      return bytes.subarray(offset, offset + length);
    },
  });
  const waiting = [reader.root];
  const seen = new Set([reader.root.slot]);
  let names = 0;
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    for (const { slot } of reader.names(next)) {
      names += 1;
      const inode = reader.inode(slot);
      if (inode.kind === "directory" && !seen.has(slot) && names < NAMES_MAX) waiting.push(inode);
      seen.add(slot);
    }
  }
  return names;
}

type Change = (bytes: Buffer) => unknown;
const changed = (change: Change): number => {
  const bytes = Buffer.from(image);
  const other = change(bytes);
  return walked(Buffer.isBuffer(other) ? other : bytes);
};

const damaged = { code: "DATA_LOSS", reason: "meta-image-damaged" } as const;
const metaCases: readonly GateCase[] = [
  ...answers<Change>("Z-meta", changed, [["a sound image", () => undefined, 43]]),
  ...refusals<Change>({ group: "Z-meta", run: changed, ...damaged }, [
    ["no bytes", () => Buffer.alloc(0)],
    ["a kilobyte", (bytes) => bytes.subarray(0, SUPERBLOCK)],
    ["half a superblock", (bytes) => bytes.subarray(0, SUPERBLOCK + 64)],
    ["one block", (bytes) => bytes.subarray(0, 1200)],
    ["another magic", (bytes) => bytes.writeUInt32LE(1, SUPERBLOCK)],
    ["blocks of one byte", (bytes) => bytes.writeUInt8(0, SUPERBLOCK + 12)],
    ["blocks of 2^13 bytes", (bytes) => bytes.writeUInt8(13, SUPERBLOCK + 12)],
    ["blocks of 2^255 bytes", (bytes) => bytes.writeUInt8(255, SUPERBLOCK + 12)],
    ["a root beyond the image", (bytes) => bytes.writeUInt16LE(65_535, SUPERBLOCK + 14)],
    ["a root that is the superblock", (bytes) => bytes.writeUInt16LE(SUPERBLOCK / 32, SUPERBLOCK + 14)],
    ["a root that is a file", (bytes) => bytes.writeUInt16LE(0o100644, root + 4)],
    ["a root that is a link", (bytes) => bytes.writeUInt16LE(0o120777, root + 4)],
    ["a folder of 2^63 bytes", (bytes) => bytes.writeBigUInt64LE(2n ** 63n, root + 8)],
    ["a folder of 2^53 - 1 bytes", (bytes) => bytes.writeBigUInt64LE(2n ** 53n - 1n, root + 8)],
    ["a folder of 256 MiB", (bytes) => bytes.writeBigUInt64LE(BigInt(256 << 20), root + 8)],
    ["a folder of one byte", (bytes) => bytes.writeBigUInt64LE(1n, root + 8)],
    [
      "a folder whose tail lies behind a 65,535th attribute",
      (bytes) => bytes.writeUInt16LE(65_535, root + 2),
    ],
    [
      "a folder of blocks beyond the image",
      (bytes) => {
        bytes.writeUInt16LE(0, root);
        bytes.writeUInt32LE(0xffff_ffff, root + 16);
      },
    ],
    ["zeros behind the superblock", (bytes) => bytes.fill(0, SUPERBLOCK + 128)],
    ["ones behind the superblock", (bytes) => bytes.fill(255, SUPERBLOCK + 128)],
    ["names at 0", (bytes) => bytes.writeUInt16LE(0, nameOffsetAt(0))],
    ["names beyond the block", (bytes) => bytes.writeUInt16LE(60_000, nameOffsetAt(0))],
    ["a name before the names", (bytes) => bytes.writeUInt16LE(1, nameOffsetAt(1))],
    [
      "a name that ends before it begins",
      (bytes) => bytes.writeUInt16LE(bytes.readUInt16LE(nameOffsetAt(0)), nameOffsetAt(1)),
    ],
    ["a name of an inode beyond the image", (bytes) => bytes.writeUInt32LE(0xffff_ffff, root + 64 + 2 * 12)],
    [
      "a name of an inode of the last 32 bytes",
      (bytes) => bytes.writeUInt32LE(bytes.length / 32 - 1, root + 64 + 2 * 12),
    ],
  ]),
  ...answers<Change>("Z-meta", (change) => changed(change) < NAMES_MAX, [
    [
      "folders that are each their parent",
      (bytes) => {
        for (let at = root + 64; at < root + 64 + 5 * 12; at += 12) bytes.writeUInt32LE(rootSlot, at);
      },
      true,
    ],
  ]),
];

/** Where the name of an entry of the root is told: its entries stand behind the inode. */
function nameOffsetAt(index: number): number {
  return root + 64 + index * 12 + 8;
}

async function unpacked(entries: readonly RawEntry[] | Buffer): Promise<readonly string[]> {
  const bytes = Buffer.isBuffer(entries) ? entries : Buffer.from(rawTar(...entries));
  const folder = await mkdtemp(join(tmpdir(), "lazuli-gate-"));
  const blob = {
    size: bytes.length,
    read: async (offset: number, length: number) => bytes.subarray(offset, offset + length),
    close: async () => undefined,
    [Symbol.asyncDispose]: async () => undefined,
  };
  try {
    await unpackCheckpoint(blob, join(folder, "in"), { signal: new AbortController().signal });
    return (await readdir(folder, { recursive: true })).sort();
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const one = rawTar({ name: "a", content: "x".repeat(3000) });
const checkpointCases: readonly GateCase[] = [
  ...refusals<readonly RawEntry[] | Buffer>(
    { group: "O-ckpt", run: unpacked, code: "INVALID_ARGUMENT", reason: "checkpoint-invalid" },
    [
      ["an archive that is cut in a file", Buffer.from(one.subarray(0, 1024))],
      ["a name from the root", [{ name: "/etc/x", content: "x" }]],
      ["a name that climbs", [{ name: "../x", content: "x" }]],
      ["a name that climbs in between", [{ name: "a/../../x", content: "x" }]],
      ["a name that is two dots", [{ name: "..", type: "5" }]],
      ["a link", [{ name: "a", type: "2", link: "/etc/passwd" }]],
      [
        "a link, and a file through it",
        [
          { name: "a", type: "2", link: "/tmp" },
          { name: "a/x", content: "x" },
        ],
      ],
      ["a second name of a file", [{ name: "b" }, { name: "a", type: "1", link: "b" }]],
      ["a FIFO", [{ name: "a", type: "6" }]],
      ["a device", [{ name: "a", type: "3" }]],
      [
        "a file below a file",
        [
          { name: "a", content: "x" },
          { name: "a/b", content: "y" },
        ],
      ],
      [
        "a folder in place of a file",
        [
          { name: "a", content: "x" },
          { name: "a", type: "5" },
        ],
      ],
      [
        "a file in place of a folder",
        [
          { name: "a", type: "5" },
          { name: "a", content: "x" },
        ],
      ],
      ["a file of the folder's own name", [{ name: "./", content: "x" }]],
      ["a name of 300 bytes", [{ name: "n".repeat(300), pax: [["path", "n".repeat(300)]] }]],
    ],
  ),
  ...answers<readonly RawEntry[]>("O-ckpt", unpacked, [
    [
      "a file, a folder, and a file in it",
      [
        { name: "a", content: "x" },
        { name: "b", type: "5" },
        { name: "b/c", content: "y" },
      ],
      ["in", "in/a", "in/b", "in/b/c"],
    ],
    [
      "a file twice: the last one stays",
      [
        { name: "a", content: "x" },
        { name: "a", content: "y" },
      ],
      ["in", "in/a"],
    ],
  ]),
];

const exchange = () => createEventExchange({ now: () => 1n });
const forwarded = (envelope: Partial<EventEnvelope>): void =>
  exchange().forward({ timestamp: 1n, namespace: "n", topic: "/a/b", event: undefined, ...envelope });

/** Whether who listens with a filter hears of an event. */
async function heard([filter, typeUrl, value]: readonly [string, string, Buffer]): Promise<boolean> {
  const events = exchange();
  const ending = new AbortController();
  const listener = events.subscribe([filter, 'topic=="/last"'], { signal: ending.signal });
  const event = { $typeName: "google.protobuf.Any" as const, typeUrl, value };
  events.publish({ namespace: "n", topic: "/first", event });
  events.publish({ namespace: "n", topic: "/last", event: undefined });
  for await (const { topic } of listener) {
    ending.abort();
    return topic === "/first";
  }
  return false;
}

async function flooded(count: number): Promise<number> {
  const events = exchange();
  const listener = events.subscribe([], { signal: new AbortController().signal });
  for (let at = 0; at < count; at += 1) events.publish({ namespace: "n", topic: "/a", event: undefined });
  let got = 0;
  for await (const _ of listener) {
    got += 1;
    if (got === count) break;
  }
  return got;
}

const created = "containerd.services.images.v1.ImageCreate";
const bytes = (...values: number[]): Buffer => Buffer.from(values);
const eventCases: readonly GateCase[] = [
  ...refusals<string>(
    {
      group: "A-event",
      run: (topic) => forwarded({ topic }),
      code: "INVALID_ARGUMENT",
      reason: "topic-invalid",
    },
    [
      ["no topic", ""],
      ["a topic without a slash", "a"],
      ["a slash for a topic", "/"],
    ],
  ),
  ...refusals<string>(
    {
      group: "A-event",
      run: (topic) => forwarded({ topic }),
      code: "INVALID_ARGUMENT",
      reason: "identifier-invalid",
    },
    [
      ["a topic that climbs", "/../x"],
      ["a topic of two slashes", "/a//b"],
      ["a topic that ends with a slash", "/a/"],
      ["a topic with a NUL", "/a\0"],
      ["a topic with a line break", "/a\nb"],
      ["a topic of a megabyte", `/${"a".repeat(1 << 20)}`],
      ["a topic of another script", "/ä"],
    ],
  ),
  ...refusals<string>(
    {
      group: "A-event",
      run: (namespace) => forwarded({ namespace }),
      code: "INVALID_ARGUMENT",
      reason: "identifier-invalid",
    },
    [
      ["no namespace", ""],
      ["a namespace that climbs", ".."],
      ["a namespace with a slash", "a/b"],
      ["a namespace of 77 bytes", "n".repeat(77)],
    ],
  ),
  ...refusals<number>(
    { group: "A-event", run: flooded, code: "RESOURCE_EXHAUSTED", reason: "events-listener-slow" },
    [["10,001 events for who does not listen", 10_001]],
  ),
  ...answers<number>("A-event", flooded, [["10,000 events at once", 10_000, 10_000]]),
  ...refusals<number>(
    {
      group: "A-event",
      run: (count) => {
        const events = exchange();
        const { signal } = new AbortController();
        for (let at = 0; at < count; at += 1) events.subscribe([], { signal });
      },
      code: "RESOURCE_EXHAUSTED",
      reason: "events-listeners-max",
    },
    [["1001 listeners", 1001]],
  ),
  ...answers<readonly [string, string, Buffer]>("A-event", heard, [
    ["a field of a sound event", ["event.name==ab", created, bytes(0x0a, 2, 97, 98)], true],
    ["a payload that is cut", ["event.name==ab", created, bytes(0x0a, 9, 97, 98)], false],
    ["a payload of another type", ["event.name==ab", created, bytes(0x08, 1)], false],
    ["a payload of 100 ones", ["event.name", created, Buffer.alloc(100, 255)], false],
    ["groups in groups, a million deep", ["event.name", created, Buffer.alloc(1 << 20, 0x0b)], false],
    ["an unknown type", ["event.name==ab", "nobody.Knows", bytes(0x0a, 2, 97, 98)], false],
    ["a type of a host", ["event.name==ab", `type.googleapis.com/${created}`, bytes(0x0a, 2, 97, 98)], false],
    ["a type of a prototype's name", ["event.name", "constructor", bytes()], false],
    ["a field of a prototype's name", ["event.constructor", created, bytes(0x0a, 2, 97, 98)], false],
    ["a field of a field that is a text", ["event.name.x==ab", created, bytes(0x0a, 2, 97, 98)], true],
    ["a label of a prototype's name", ["event.labels.toString", created, bytes(0x0a, 2, 97, 98)], false],
    [
      "a payload of 16 MiB",
      [
        "event.name==ab",
        created,
        Buffer.concat([bytes(0x0a, 2, 97, 98, 0x7a, 0x80, 0x80, 0x80, 0x08), Buffer.alloc(16 << 20)]),
      ],
      true,
    ],
  ]),
];

export const imageCases: readonly GateCase[] = [...metaCases, ...checkpointCases, ...eventCases];
