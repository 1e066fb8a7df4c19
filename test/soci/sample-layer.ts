import type { LayerEntry } from "../../testing/estargz-tar.js";

const words = "span window index layer tar block bits digest file tree unit blob cache read".split(" ");

/** Words in an order that looks random and is the same in every run: it packs well, into blocks of many codes. */
export function prose(size: number, seed: number): Buffer {
  const parts: string[] = [];
  let state = seed;
  for (let length = 0; length < size; ) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const word = `${words[(state >>> 20) % words.length]!}${(state >>> 12) & 63} `;
    parts.push(word);
    length += word.length;
  }
  return Buffer.from(parts.join("").slice(0, size));
}

const mtime = 1_600_000_000;
const long = `long/${"n".repeat(120)}`;

/** An entry of each kind, and enough bytes for several spans of 64 KiB. */
export const sampleLayer: readonly LayerEntry[] = [
  { name: "./", type: "dir", mode: 0o751, mtime },
  { name: "usr/", type: "dir", mtime },
  { name: "usr/bin/", type: "dir", mode: 0o1777, uid: 3, mtime },
  {
    name: "usr/bin/tool",
    type: "reg",
    content: prose(150_001, 1),
    mode: 0o4755,
    uid: 10,
    gid: 4_000_000_000,
    mtime,
  },
  {
    name: "usr/bin/again",
    type: "hardlink",
    linkName: "usr/bin/tool",
    mode: 0o4755,
    uid: 10,
    gid: 4_000_000_000,
    mtime,
  },
  { name: "usr/bin/sh", type: "symlink", linkName: "tool", mode: 0o777, mtime },
  { name: "dev/null", type: "char", devMajor: 1, devMinor: 3, mode: 0o666, mtime },
  { name: "dev/disk", type: "block", devMajor: 8, devMinor: 17, mtime },
  { name: "run/pipe", type: "fifo", mode: 0o600, mtime },
  { name: "empty", type: "reg", mtime },
  {
    name: "capable",
    type: "reg",
    content: "c",
    xattrs: {
      "security.capability": Buffer.from("0100000200040000000000000000000000000000", "hex"),
      "user.note": "n",
    },
    mtime,
  },
  { name: "old/.wh.gone", type: "reg", mtime },
  { name: "opaque/", type: "dir", mtime },
  { name: "opaque/.wh..wh..opq", type: "reg", mtime },
  { name: "opaque/kept", type: "reg", content: "kept", mtime },
  { name: `${long}`, type: "reg", content: "long", mtime },
  { name: "name with spaces/größe 名", type: "reg", content: prose(260_000, 2), mtime },
  { name: "replaced/below", type: "reg", content: "gone", mtime },
  { name: "replaced", type: "reg", content: "stays", mtime },
  { name: "last", type: "reg", content: prose(70_000, 3), mtime },
];
