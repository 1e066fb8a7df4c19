import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { command } from "../../testing/rig/command.js";
import { paxRecord, type RawEntry, rawTar } from "../../testing/tar/index.js";

export interface ContentSizes {
  readonly files: number;
  readonly sparseMebibytes: number;
}

export interface MatrixContent {
  readonly name: string;
  /** Writes the archive. */
  readonly write: (path: string, sizes: ContentSizes) => Promise<void>;
}

const everyType: readonly RawEntry[] = [
  { name: "./", type: "5", mode: 0o750, uid: 5, gid: 6, mtime: 1_500_000_000 },
  { name: "plain", content: "hello\n" },
  { name: "empty" },
  { name: "one", content: "x", mode: 0o4755, uid: 1000, gid: 1001 },
  { name: "block", content: Buffer.alloc(4096, "b"), mode: 0 },
  { name: "large", content: Buffer.alloc(300_001, "large") },
  { name: "folder", type: "5", mode: 0o1777, uid: 7, gid: 8 },
  { name: "folder/inner", content: "inner", mode: 0o2640 },
  { name: "implied/by/its/file", content: "leaf" },
  { name: "symbolic", type: "2", link: "../outside/of it" },
  { name: "hard", type: "1", link: "plain" },
  { name: "null", type: "3", mode: 0o666, major: 1, minor: 3 },
  { name: "disk", type: "4", mode: 0o600, major: 259, minor: 70_000 },
  { name: "fifo", type: "6", mode: 0o622 },
  { name: "folder/.wh.gone" },
  { name: "opaque", type: "5" },
  { name: "opaque/.wh..wh..opq" },
  { name: "opaque/kept", content: "kept" },
  { name: "before-1970", pax: [["mtime", "-5"]] },
  { name: "of-2001", mtime: 1_000_000_000 },
  {
    name: "owned",
    pax: [
      ["uid", "4294967294"],
      ["gid", "3000000"],
    ],
  },
  {
    name: "attributes",
    content: "with attributes",
    pax: [
      ["SCHILY.xattr.user.note", "a note"],
      ["SCHILY.xattr.user.empty", ""],
      ["SCHILY.xattr.user.bytes", Buffer.from([0, 1, 255, 10, 61])],
      ["SCHILY.xattr.user.long", Buffer.alloc(3000, "v")],
      ["SCHILY.xattr.security.capability", Buffer.from("0100000200040000000000000000000000000000", "hex")],
    ],
  },
  { name: "folder/with", type: "5", pax: [["SCHILY.xattr.user.of-folder", "f"]] },
];

const hardlinks: readonly RawEntry[] = [
  { name: "a/", type: "5" },
  { name: "b/", type: "5" },
  { name: "a/file", content: Buffer.alloc(70_000, "linked"), mode: 0o640, uid: 3 },
  { name: "b/link", type: "1", link: "a/file" },
  { name: "c/deep/link", type: "1", link: "./b/link" },
  { name: "a/again", type: "1", link: "/c/deep/link" },
  { name: "b/empty" },
  { name: "a/empty", type: "1", link: "b/empty" },
  { name: "b/attributes", content: "x", pax: [["SCHILY.xattr.user.note", "n"]] },
  { name: "attributes", type: "1", link: "b/attributes" },
  ...Array.from(
    { length: 40 },
    (_, index): RawEntry => ({ name: `many/${index}`, type: "1", link: "b/link" }),
  ),
];

const linkedSpecials: readonly RawEntry[] = [
  { name: "symbolic", type: "2", link: "nowhere" },
  { name: "a/symbolic", type: "1", link: "symbolic" },
  { name: "fifo", type: "6" },
  { name: "a/fifo", type: "1", link: "fifo" },
  { name: "null", type: "3", major: 1, minor: 3 },
  { name: "a/null", type: "1", link: "null" },
];

const duplicates: readonly RawEntry[] = [
  { name: "twice", content: "first", mode: 0o600 },
  { name: "./twice", content: "second, and longer" },
  { name: "folder/", type: "5", mode: 0o700 },
  { name: "folder/kept", content: "kept" },
  { name: "folder", type: "5", mode: 0o711, uid: 9 },
  { name: "kind", content: "a file first" },
  { name: "kind", type: "2", link: "twice" },
  { name: "thrice", content: Buffer.alloc(70_000, "1") },
  { name: "thrice", content: Buffer.alloc(80_000, "2") },
  { name: "thrice", content: Buffer.alloc(90_000, "3") },
];

const replacedTarget: readonly RawEntry[] = [
  { name: "target", content: "of a link" },
  { name: "link", type: "1", link: "target" },
  { name: "target", content: "replaced" },
];

const replacedFolder: readonly RawEntry[] = [
  { name: "folder-first/", type: "5" },
  { name: "folder-first/inner", content: "gone" },
  { name: "folder-first", content: "a file now" },
  { name: "file-first", content: "gone" },
  { name: "file-first/", type: "5" },
  { name: "file-first/inner", content: "inner" },
];

/** Below the 4095 bytes of a path, as tools that list the tree need it. */
function deepPaths(): readonly RawEntry[] {
  const long = Array.from({ length: 14 }, (_, index) => `${index}-`.padEnd(230, "d")).join("/");
  const many = Array.from({ length: 250 }, (_, index) => String(index)).join("/");
  return [
    { name: "long", pax: [["path", `${long}/leaf`]], content: "deep" },
    { name: "many", pax: [["path", `${many}/leaf`]], content: "deeper" },
    {
      name: "link",
      type: "1",
      pax: [
        ["path", "link"],
        ["linkpath", `${many}/leaf`],
      ],
    },
    {
      name: "symbolic",
      type: "2",
      pax: [
        ["path", "symbolic"],
        ["linkpath", `${long}/leaf`],
      ],
    },
    { name: "x".repeat(100), prefix: "p".repeat(155), content: "split name" },
  ];
}

const oddNames: readonly RawEntry[] = [
  ...[
    "with space",
    " leading and trailing ",
    "tab\there",
    "new\nline",
    "bell\u0007",
    "back\\slash",
    'quote"quote',
    "-rf",
    "...",
    "..data",
    "*?[a]",
    "~",
    "%41",
    "größe",
    "gro\u0308ße",
    "名前",
    "🚀",
    "\u200bzero width",
    ".WH.not-a-whiteout",
    ".prefetch",
    "n".repeat(255),
    "ß".repeat(127),
  ].map((name): RawEntry => ({ name: "odd", pax: [["path", name]], content: name })),
  { name: "odd folder\t/", type: "5" },
  { name: "odd folder\t/größe", content: "x" },
  { name: "to odd", type: "2", link: "odd folder\t/größe" },
  { name: "hard to odd", type: "1", link: "odd folder\t/größe" },
  { name: "./dot/./slash//twice", content: "cleaned" },
];

const byteNames: readonly RawEntry[] = [
  { name: Buffer.from([0xff, 0xfe, 0x41]), content: "no UTF-8" },
  { name: Buffer.from("gr\xf6\xdfe", "latin1"), content: "Latin-1" },
  { name: Buffer.from([0x64, 0xc3, 0x2f, 0x80]), content: "cut" },
  { name: "symbolic", type: "2", link: Buffer.from([0xff, 0xfe, 0x41]) },
  { name: "attributes", content: "x", pax: [["SCHILY.xattr.user.note", Buffer.from([0xff])]] },
];

function manyFiles(count: number): readonly RawEntry[] {
  return Array.from({ length: count }, (_, index): RawEntry => {
    const name = `${index % 10}/${index % 100}/file-${index}`;
    return { name, content: index % 7 === 0 ? "" : `content of ${index}`, mode: 0o600 + (index % 8) };
  });
}

const global = { name: "pax_global_header", type: "g", content: paxRecord("comment", "of all") };

/** What GNU tar writes of a folder with names and numbers of each length that its format takes. */
function gnuTarOf(format: string, isLong: boolean): MatrixContent["write"] {
  const script = `
    mkdir -p tree/sub; cd tree
    head -c 100000 /dev/zero | tr '\\0' x > sub/data; ln sub/data linked; ln -s sub/data symbolic; mkfifo sub/fifo
    chmod 6711 sub/data; touch -d @1234567890 sub/data sub
    echo a > "sub/$(printf 'm%.0s' $(seq 90))"
    ${isLong ? `mkdir -p "$(printf 'd%.0s' $(seq 120))/e"; echo b > "$(printf 'd%.0s' $(seq 120))/e/$(printf 'f%.0s' $(seq 200))"` : ""}
    ${isLong ? "ln -s \"$(printf 't%.0s' $(seq 300))\" long-target" : ""}
    ${format === "v7" ? "rm sub/fifo" : "mknod null c 1 3"}
    find . -exec touch -h -d @1234567890 {} +
    tar --format=${format} --numeric-owner --sort=name -cf "$1" .`;
  return async (path) => inScratch(path, script);
}

function sparseTarOf(words: string): MatrixContent["write"] {
  const script = `
    mkdir tree; cd tree; echo before > a-before
    truncate -s 3M sparse; printf begin | dd of=sparse conv=notrunc status=none
    printf middle | dd of=sparse bs=1 seek=1500000 conv=notrunc status=none
    truncate -s 1M holes-only; echo after > z-after
    find . -exec touch -d @1234567890 {} +
    tar ${words} -S --numeric-owner --sort=name -cf "$1" .`;
  return async (path) => inScratch(path, script);
}

async function inScratch(path: string, script: string): Promise<void> {
  const folder = `${path}.scratch`;
  await command("bash", ["-euc", `mkdir "$2"; cd "$2"; ${script}; rm -rf "$2"`, "make", path, folder]);
}

function raw(...entries: readonly (RawEntry | Buffer)[]): MatrixContent["write"] {
  return async (path) => await writeFile(path, rawTar(...entries));
}

/** A file that is zeros but for its two ends and its middle, in an archive that has them all. */
async function zerosInArchive(path: string, { sparseMebibytes }: ContentSizes): Promise<void> {
  const script = `
    mkdir tree; cd tree; truncate -s ${sparseMebibytes}M sparse
    printf begin | dd of=sparse conv=notrunc status=none
    printf middle | dd of=sparse bs=1M seek=${sparseMebibytes / 2} conv=notrunc status=none
    printf end | dd of=sparse bs=1M seek=${sparseMebibytes} conv=notrunc status=none
    echo after > z-after; find . -exec touch -d @1234567890 {} +
    tar --format=posix --hard-dereference --numeric-owner --sort=name --pax-option=delete=atime,delete=ctime -cf "$1" .`;
  await inScratch(path, script);
}

export const sparseContent = "zeros";

export const matrixContents: readonly MatrixContent[] = [
  { name: "every-type", write: raw(...everyType) },
  {
    name: "many-files",
    write: async (path, { files }) => await raw(...manyFiles(files))(path, { files, sparseMebibytes: 0 }),
  },
  { name: sparseContent, write: zerosInArchive },
  { name: "deep-paths", write: raw(...deepPaths()) },
  { name: "odd-names", write: raw(...oddNames) },
  { name: "byte-names", write: raw(...byteNames) },
  { name: "hardlinks", write: raw(...hardlinks) },
  { name: "linked-specials", write: raw(...linkedSpecials) },
  { name: "duplicates", write: raw(...duplicates) },
  { name: "replaced-target", write: raw(...replacedTarget) },
  { name: "replaced-folder", write: raw(...replacedFolder) },
  { name: "empty", write: raw() },
  { name: "no-bytes", write: async (path) => await writeFile(path, "") },
  { name: "global-header", write: raw(global, { name: "file", content: "x" }) },
  { name: "posix", write: gnuTarOf("posix", true) },
  { name: "gnu", write: gnuTarOf("gnu", true) },
  { name: "oldgnu", write: gnuTarOf("oldgnu", true) },
  { name: "ustar", write: gnuTarOf("ustar", false) },
  { name: "v7", write: gnuTarOf("v7", false) },
  { name: "sparse-gnu", write: sparseTarOf("--format=gnu") },
  { name: "sparse-posix", write: sparseTarOf("--format=posix") },
];

/** Writes all archives into a folder, in their order. @returns their paths */
export async function writeContents(folder: string, sizes: ContentSizes): Promise<string[]> {
  const paths: string[] = [];
  for (const { name, write } of matrixContents) {
    const path = join(folder, `${name}.tar`);
    await write(path, sizes);
    paths.push(path);
  }
  return paths;
}
