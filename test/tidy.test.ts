import { readdir, readFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import t from "tap";

const root = fileURLToPath(new URL("../../", import.meta.url));

/** Rooms from the bottom up: a room may import itself and those that stand before it. */
const rooms = [
  "errors",
  "bytes",
  "async",
  "files",
  "observe",
  "traces",
  "filters",
  "pipes",
  "tree",
  "units",
  "oci",
  "spec",
  "ocicrypt",
  "tar",
  "erofs",
  "estargz",
  "zstdchunked",
  "soci",
  "fine",
  "fuse",
  "mounts",
  "ttrpc",
  "grpc",
  "streaming",
  "registry",
  "processors",
  "metadata",
  "events",
  "content",
  "layer",
  "profiles",
  "gc",
  "snapshotters",
  "cdi",
  "nri",
  "cni",
  "diff",
  "transfer",
  "runtime",
  "services",
  "cri",
  "snapshotter-kit",
  "client",
  "settings",
  "daemon",
  "bench",
  "cli",
];

const LINES_MAX = 500;

async function filesUnder(folder: string, endings: readonly string[]): Promise<string[]> {
  const names = await readdir(join(root, folder), { recursive: true });
  return names
    .filter((name) => endings.some((ending) => name.endsWith(ending)))
    .map((name) => join(folder, name));
}

function roomOf(path: string): string {
  return path.split("/")[1] ?? "";
}

function importsOf(text: string): string[] {
  return [...text.matchAll(/(?:from|import)\s*\(?"(\.[^"]+)"/g)].map((match) => match[1]!);
}

t.test("every file has one subject and a bounded length", async (t) => {
  const files = [
    ...(await filesUnder("src", [".ts"])),
    ...(await filesUnder("native", [".cc", ".h"])),
    ...(await filesUnder("test", [".ts"])),
    ...(await filesUnder("testing", [".ts"])),
    ...(await filesUnder("bench", [".ts"])),
    ...(await filesUnder("scripts", [".ts"])),
  ];
  for (const file of files) {
    const text = await readFile(join(root, file), "utf8");
    const lines = text.split("\n").length - 1;
    if (lines > LINES_MAX) t.fail(`${file} has ${lines} lines, at most ${LINES_MAX} are allowed`);
    if (file !== "test/tidy.test.ts" && /\b(FIXME|XXX|TODO)\b/.test(text))
      t.fail(`${file} has a leftover mark`);
    if (
      !/^[a-z0-9-]+(\.test)?$/.test(
        basename(file)
          .replace(/\.(ts|cc|h)$/, "")
          .replaceAll("_", "-"),
      )
    ) {
      t.fail(`${file} is not named in lower case`);
    }
  }
  t.ok(files.length > 0, "there are files");
});

t.test("dependencies point down the table of rooms only", async (t) => {
  for (const file of await filesUnder("src", [".ts"])) {
    const own = rooms.indexOf(roomOf(file));
    if (file !== "src/index.ts" && own < 0) t.fail(`${file} lies in no known room`);
    const text = await readFile(join(root, file), "utf8");
    for (const specifier of importsOf(text)) {
      const target = join(dirname(file), specifier);
      if (target.startsWith("gen/")) continue;
      if (!target.startsWith("src/")) t.fail(`${file} imports ${specifier} from outside src`);
      if (file === "src/index.ts" || roomOf(target) === roomOf(file)) continue;
      if (rooms.indexOf(roomOf(target)) >= own) t.fail(`${file} imports upwards: ${specifier}`);
      if (basename(target) !== "index.js") t.fail(`${file} imports past the index: ${specifier}`);
    }
  }
  t.pass("all imports read");
});

t.test("an index only re-exports", async (t) => {
  for (const file of (await filesUnder("src", ["index.ts"])).filter(
    (name) => basename(name) === "index.ts",
  )) {
    const text = await readFile(join(root, file), "utf8");
    const code = text.replace(/\/\*[\s\S]*?\*\//g, "");
    if (/^\s*(const|let|function|class|import)\b/m.test(code)) t.fail(`${file} holds code`);
    if (!text.startsWith("/**")) t.fail(`${file} does not open with a module note`);
  }
  t.pass("all indexes read");
});

t.test("rules of style that a machine can see", async (t) => {
  for (const file of await filesUnder("src", [".ts"])) {
    const text = await readFile(join(root, file), "utf8");
    if (/AbortSignal\.any\(/.test(text))
      t.fail(`${file} uses AbortSignal.any, which leaks: use linkSignals()`);
    if (/export default/.test(text)) t.fail(`${file} has a default export`);
    if (!file.startsWith("src/cli/") && /\bconsole\./.test(text)) t.fail(`${file} prints`);
    if (!file.startsWith("src/fuse/") && /\.node"/.test(text))
      t.fail(`${file} loads the addon past src/fuse`);
  }
  t.pass("all sources read");
});

t.test("every source file is used by another", async (t) => {
  const files = [...(await filesUnder("src", [".ts"])), ...(await filesUnder("scripts", [".ts"]))];
  const used = new Set<string>();
  for (const file of [
    ...files,
    ...(await filesUnder("test", [".ts"])),
    ...(await filesUnder("bench", [".ts"])),
  ]) {
    const text = await readFile(join(root, file), "utf8");
    for (const specifier of importsOf(text)) used.add(join(dirname(file), specifier).replace(/\.js$/, ".ts"));
  }
  for (const file of files.filter((name) => name.startsWith("src/"))) {
    if (["index.ts", "main.ts", "compile-worker.ts"].includes(basename(file))) continue;
    if (!used.has(file)) t.fail(`${file} is imported by nobody`);
  }
  t.pass("all imports read");
});
