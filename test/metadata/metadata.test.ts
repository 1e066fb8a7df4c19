import { execFile } from "node:child_process";
import { mkdtemp, open, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { readLastPage } from "../../src/metadata/file-check.js";
import { openMetadata, type Table } from "../../src/metadata/index.js";
import { decodeRecord, encodeRecord } from "../../src/metadata/record.js";
import { command } from "../../testing/rig/command.js";

const texts: Table<string> = {
  name: "texts",
  encode: (value) => value,
  decode: (value) => value as string,
};

async function folderFor(t: { teardown: (run: () => Promise<void>) => void }): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-metadata-"));
  t.teardown(async () => await rm(folder, { recursive: true, force: true }));
  return folder;
}

t.test("decodeRecord() refuses a record with any byte changed", async (t) => {
  const record = encodeRecord({ name: "a", size: 5 });
  t.same(decodeRecord(record, "x", []), { name: "a", size: 5 });
  for (let index = 0; index < record.length; index += 1) {
    const damaged = Buffer.from(record);
    damaged[index] = damaged[index]! ^ 1;
    t.throws(() => decodeRecord(damaged, "x", []), { code: "DATA_LOSS", reason: "metadata-damaged" });
    t.throws(() => decodeRecord(record.subarray(0, index), "x", []), { code: "DATA_LOSS" });
  }
});

t.test("write() keeps all changes of an action or none", async (t) => {
  const directory = await folderFor(t);
  const metadata = await openMetadata({ directory });
  const results = await Promise.allSettled([
    metadata.write((transaction) => transaction.put(texts, "a", "1")),
    metadata.write((transaction) => {
      transaction.put(texts, "a", "2");
      transaction.put(texts, [7, "b"], "2");
      throw new Error("changed its mind");
    }),
    metadata.write((transaction) => {
      t.equal(transaction.get(texts, "a"), "1", "sees the action before it, not the one that failed");
      transaction.put(texts, "c", "3");
      transaction.delete(texts, "c");
      return "done";
    }),
  ]);
  t.same(
    results.map((result) => result.status),
    ["fulfilled", "rejected", "fulfilled"],
  );
  t.equal(metadata.get(texts, "a"), "1");
  t.same(metadata.values(texts), ["1"]);
  await metadata.close();
  await metadata.close();
  await t.rejects(
    metadata.write(() => undefined),
    { code: "UNAVAILABLE", reason: "metadata-closed" },
  );
  const again = await openMetadata({ directory });
  t.equal(again.get(texts, "a"), "1", "is there after opening again");
  await again.close();
});

t.test("openMetadata() keeps others out of its files", async (t) => {
  const directory = await folderFor(t);
  const metadata = await openMetadata({ directory });
  t.equal((await stat(directory)).mode & 0o777, 0o700);
  for (const name of ["metadata.lmdb", "metadata.lmdb-lock", "lock"]) {
    t.equal((await stat(join(directory, name))).mode & 0o777, 0o600, name);
  }
  await metadata.close();
});

t.test("openMetadata() refuses a folder that another process has, until that one dies", async (t) => {
  const directory = await folderFor(t);
  const program = `
    const { openMetadata } = await import(process.argv[1]);
    await openMetadata({ directory: process.argv[2] });
    console.log("open");
    setInterval(() => undefined, 1000);`;
  const module = new URL("../../src/metadata/index.js", import.meta.url).href;
  const child = execFile(process.execPath, ["--input-type=module", "-e", program, module, directory]);
  t.teardown(() => child.kill("SIGKILL"));
  await new Promise((resolve) => child.stdout!.once("data", resolve));
  await t.rejects(openMetadata({ directory }), {
    code: "FAILED_PRECONDITION",
    reason: "metadata-in-use",
    message: new RegExp(`process ${child.pid}$`),
    hint: /stop it/,
  });
  const exited = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await exited;
  const metadata = await openMetadata({ directory });
  await t.rejects(openMetadata({ directory }), { code: "FAILED_PRECONDITION", reason: "metadata-in-use" });
  await metadata.close();
});

t.test("openMetadata() refuses files that are none of its own", async (t) => {
  const directory = await folderFor(t);
  const path = join(directory, "metadata.lmdb");
  for (const size of [1, 100, 4096, 8192, 100_000]) {
    await writeFile(path, Buffer.alloc(size, 0x41));
    await t.rejects(openMetadata({ directory }), { code: "DATA_LOSS", reason: "metadata-damaged" });
  }
  await rm(path);
  const before = await openMetadata({ directory });
  await before.write((transaction) => transaction.put(texts, "a", "x".repeat(20_000)));
  await before.close();
  const good = await readFile(path);
  await using file = await open(path);
  for (const size of [4096, 8192, (await readLastPage(file)) - 4096]) {
    await writeFile(path, good.subarray(0, size));
    await t.rejects(openMetadata({ directory }), { code: "DATA_LOSS" }, `cut to ${size}`);
  }
  await writeFile(path, good);
  const metadata = await openMetadata({ directory });
  const counters: Table<number> = { name: "counters", encode: (value) => value, decode: Number };
  await metadata.write((transaction) => transaction.put(counters, "schema", 99));
  await metadata.close();
  await t.rejects(openMetadata({ directory }), { code: "FAILED_PRECONDITION", reason: "metadata-version" });
});

async function smallDisk(t: { teardown: (run: () => Promise<void>) => void }, size: string): Promise<string> {
  const mountPoint = await folderFor(t);
  await command("mount", ["-t", "tmpfs", "-o", `size=${size}`, "tmpfs", mountPoint]);
  t.teardown(async () => {
    await command("umount", [mountPoint]);
  });
  return mountPoint;
}

t.test("write() says so before the disk is full, and removals still work", async (t) => {
  const mountPoint = await smallDisk(t, "4m");
  const directory = join(mountPoint, "metadata");
  const metadata = await openMetadata({ directory, reserveBytes: 1 << 20 });
  t.teardown(async () => await metadata.close());
  let kept = 0;
  const fill = async (): Promise<void> => {
    for (; kept < 4000; kept += 1) {
      await metadata.write((transaction) => transaction.put(texts, `key ${kept}`, "x".repeat(3000)));
    }
  };
  const full = { code: "RESOURCE_EXHAUSTED", reason: "metadata-disk-full", hint: /Free space/ };
  await t.rejects(fill(), full);
  t.ok(kept > 10, "some were written");
  t.same([metadata.values(texts).length, metadata.get(texts, `key ${kept}`)], [kept, undefined]);
  await metadata.write((transaction) => transaction.delete(texts, "key 1"), { isRemoval: true });
  t.equal(metadata.get(texts, "key 1"), undefined);
  t.equal(await metadata.write((transaction) => transaction.get(texts, "key 2")?.length), 3000);
  await command("mount", ["-o", "remount,size=16m", mountPoint]);
  await metadata.write((transaction) => transaction.put(texts, "after", "1"));
  t.equal(metadata.get(texts, "after"), "1");
});

t.test("write() has no rejection of its own when LMDB meets a full disk", async (t) => {
  const directory = join(await smallDisk(t, "1m"), "metadata");
  const program = `
    const { openMetadata } = await import(process.argv[1]);
    process.on("unhandledRejection", () => console.log("unhandled"));
    const metadata = await openMetadata({ directory: process.argv[2], reserveBytes: 0 });
    const texts = { name: "texts", encode: (value) => value, decode: (value) => value };
    for (let index = 0; ; index += 1) {
      try {
        await metadata.write((transaction) => transaction.put(texts, String(index), "x".repeat(8000)));
        console.log(index);
      } catch (error) {
        console.log(error.code, error.reason);
        break;
      }
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
    process.kill(process.pid, "SIGKILL");`;
  const module = new URL("../../src/metadata/index.js", import.meta.url).href;
  const args = ["--input-type=module", "-e", program, module, directory];
  const lines = (await command(process.execPath, args, { allow: [137] })).stdout.trim().split("\n");
  t.equal(lines.pop(), "RESOURCE_EXHAUSTED metadata-disk-full", "and nothing after it");
  t.ok(lines.length > 10, "some were written");
  const metadata = await openMetadata({ directory });
  t.teardown(async () => await metadata.close());
  t.equal(metadata.values(texts).length, lines.length, "all that was acknowledged is there");
});

t.test("values() finds a value that was changed behind its back", async (t) => {
  const directory = await folderFor(t);
  const metadata = await openMetadata({ directory });
  await metadata.write((transaction) => transaction.put(texts, "a", "a value that can be found"));
  await metadata.close();
  const path = join(directory, "metadata.lmdb");
  const bytes = await readFile(path);
  const at = bytes.indexOf("a value that can be found");
  bytes.write("b", at);
  await writeFile(path, bytes);
  const damaged = await openMetadata({ directory });
  t.teardown(async () => await damaged.close());
  t.throws(() => damaged.get(texts, "a"), { code: "DATA_LOSS", subject: "texts a" });
});
