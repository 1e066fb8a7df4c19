import { mkdir, mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import t, { type Test } from "tap";
import { openMetadata, type Table } from "../../src/metadata/index.js";
import { faultEnvironment } from "../../testing/faults/index.js";
import { command } from "../../testing/rig/command.js";

const texts: Table<string> = {
  name: "texts",
  encode: (value) => value,
  decode: (value) => value as string,
};
const program = fileURLToPath(new URL("./faulty-writes.js", import.meta.url));
const shimSource = fileURLToPath(new URL("../../../test/metadata/fail-meta-page.c", import.meta.url));

async function folderFor(t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-metadata-faults-"));
  t.teardown(async () => await rm(folder, { recursive: true, force: true }));
  return folder;
}

async function run(words: string[], env: Record<string, string>): Promise<unknown[]> {
  const { stdout } = await command(process.execPath, [program, ...words], { env });
  return stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as unknown);
}

const rounds = (failure: string) => [
  "done",
  ...Array.from({ length: 5 }, () => [failure, "v", "done"]).flat(),
];

async function survivors(directory: string): Promise<number> {
  const metadata = await openMetadata({ directory });
  const { length } = metadata.values(texts);
  await metadata.close();
  return length;
}

t.test("write() fails with a sync that fails, and works again in the same process", async (t) => {
  const base = await folderFor(t);
  const [directory, control] = [join(base, "metadata"), join(base, "control")];
  await mkdir(directory);
  const env = await faultEnvironment({ folder: directory, control });
  t.strictSame(await run([directory, "sync", control], env), rounds("UNAVAILABLE metadata-write-failed"));
  t.equal(await survivors(directory), 6, "what was acknowledged is there, the rest is not");
});

t.test("write() opens LMDB again when that could not write a meta page", async (t) => {
  const base = await folderFor(t);
  const [directory, shim] = [join(base, "metadata"), join(base, "shim.so")];
  await command("gcc", ["-shared", "-fPIC", "-o", shim, shimSource, "-ldl"]);
  const path = join(base, "fault");
  const lines = await run([directory, "meta", path], { LD_PRELOAD: shim, FAULT_FILE: path });
  t.strictSame(lines, rounds("UNAVAILABLE metadata-write-failed"));
  t.equal(await survivors(directory), 6);
});

t.test("openMetadata() says so when the process has no descriptor left", async (t) => {
  const directory = join(await folderFor(t), "metadata");
  const words = ["--nofile=100", process.execPath, program, directory, "open", "-"];
  const { stdout } = await command("prlimit", words);
  const lines = stdout.trim().split("\n");
  const short = lines.filter((_, index) => index % 2 === 0);
  for (const line of short) t.match(line, /^"(done|RESOURCE_EXHAUSTED)/);
  t.match(short[0], /RESOURCE_EXHAUSTED/);
  t.equal(short.at(-1), '"done"');
  t.ok(
    lines.every((line, index) => index % 2 === 0 || line === '"done"'),
    "with descriptors it works again",
  );
});

t.test("write() keeps room for removals on a disk that others have filled", async (t) => {
  const mountPoint = await folderFor(t);
  await command("mount", ["-t", "tmpfs", "-o", "size=8m", "tmpfs", mountPoint]);
  t.teardown(async () => {
    await command("umount", [mountPoint]);
  });
  const metadata = await openMetadata({ directory: join(mountPoint, "metadata"), reserveBytes: 1 << 20 });
  t.teardown(async () => await metadata.close());
  const put = (key: string) => metadata.write((transaction) => transaction.put(texts, key, "x".repeat(3000)));
  for (let index = 0; index < 50; index += 1) await put(`key ${index}`);
  const other = join(mountPoint, "other");
  const file = await open(other, "w");
  await t.rejects(
    async () => {
      for (;;) await file.write(Buffer.alloc(4096));
    },
    { code: "ENOSPC" },
  );
  await file.close();
  await t.rejects(put("more"), { code: "RESOURCE_EXHAUSTED", reason: "metadata-disk-full" });
  for (let index = 0; index < 50; index += 2) {
    await metadata.write((transaction) => transaction.delete(texts, `key ${index}`), { isRemoval: true });
  }
  t.equal(metadata.values(texts).length, 25, "without a byte free");
  await rm(other);
  await put("more");
  t.equal(metadata.values(texts).length, 26);
});
