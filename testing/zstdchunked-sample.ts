import { contentOf, type LayerEntry, padding, tarHeader } from "./estargz-tar.js";

const time = 1_600_000_000;

/** Lines of numbers: content that compresses well and has no period, the same in every run. */
function numbers(size: number, seed: number): Buffer {
  const lines: string[] = [];
  let state = seed;
  for (let length = 0; length < size; length += 11) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    lines.push(`${String(state % 1000).padStart(10, "0")}\n`);
  }
  return Buffer.from(lines.join("")).subarray(0, size);
}

/** One entry of each kind, files with and without holes, and names that are not plain. */
export const sampleEntries: readonly LayerEntry[] = [
  { name: "./", type: "dir", mode: 0o700, mtime: time },
  { name: "etc/", type: "dir", mode: 0o755, mtime: time },
  { name: "etc/hostname", type: "reg", content: "host\n", mtime: time },
  {
    name: "usr/bin/tool",
    type: "reg",
    content: numbers(400_000, 1),
    mode: 0o4755,
    uid: 10,
    gid: 2000,
    mtime: time,
  },
  { name: "usr/bin/again", type: "hardlink", linkName: "usr/bin/tool", mtime: time },
  { name: "usr/bin/sh", type: "symlink", linkName: "tool", mode: 0o777, mtime: time },
  { name: "zeros", type: "reg", content: Buffer.alloc(500_000), mtime: time },
  {
    name: "mixed",
    type: "reg",
    content: Buffer.concat([
      numbers(70_000, 2),
      Buffer.alloc(300_000),
      numbers(50_000, 3),
      Buffer.alloc(5000),
      Buffer.from("x"),
      Buffer.alloc(20_000),
    ]),
    mtime: time,
  },
  { name: "empty", type: "reg", mtime: time },
  { name: "dev/null", type: "char", devMajor: 1, devMinor: 3, mode: 0o666, mtime: time },
  { name: "dev/sda", type: "block", devMajor: 8, devMinor: 17, mtime: time },
  { name: "run/pipe", type: "fifo", mode: 0o600, mtime: time },
  { name: "noted", type: "reg", content: "n", mtime: time, xattrs: { "user.a": "hi", "user.b": "größe" } },
  { name: "name with spaces/größe 名", type: "reg", content: "unicode", mtime: time },
  { name: `${"deep/".repeat(30)}leaf`, type: "reg", content: "leaf", mtime: time },
];

export function tarOf(entries: readonly LayerEntry[]): Buffer {
  const parts = entries.flatMap((entry) => {
    const content = contentOf(entry);
    return [tarHeader(entry), content, padding(content.length)];
  });
  return Buffer.concat([...parts, Buffer.alloc(1024)]);
}
