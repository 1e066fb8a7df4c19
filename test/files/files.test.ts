import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t, { type Test } from "tap";
import { placeFile, readBoundedFile, replaceFile } from "../../src/files/index.js";
import { command } from "../../testing/rig/command.js";

const bounds = { bytesMax: 8, what: "a note", reason: "note-damaged", hint: "Write it anew" } as const;
const refused = { code: "DATA_LOSS", reason: "note-damaged", hint: "Write it anew" };

async function folderOf(t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-files-"));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

t.test(
  "readBoundedFile() gives the bytes of a file up to its bound, and when they were written",
  async (t) => {
    const path = join(await folderOf(t), "note");
    await writeFile(path, "12345678");
    const { bytes, modifiedAtMs } = await readBoundedFile(path, bounds);
    t.equal(bytes.toString(), "12345678");
    t.equal(modifiedAtMs, (await stat(path)).mtimeMs);
    await writeFile(path, "");
    t.equal((await readBoundedFile(path, bounds)).bytes.length, 0);
    await writeFile(path, "123456789");
    await t.rejects(readBoundedFile(path, bounds), { ...refused, subject: path }, "a byte more");
  },
);

t.test("readBoundedFile() follows no link, waits for no FIFO and reads no folder", async (t) => {
  const folder = await folderOf(t);
  await writeFile(join(folder, "note"), "1");
  await symlink("note", join(folder, "link"));
  await t.rejects(readBoundedFile(join(folder, "link"), bounds), { code: "ELOOP" });
  await command("mkfifo", [join(folder, "fifo")]);
  await t.rejects(readBoundedFile(join(folder, "fifo"), bounds), refused);
  await mkdir(join(folder, "folder"));
  await t.rejects(readBoundedFile(join(folder, "folder"), bounds), refused);
  await t.rejects(readBoundedFile(join(folder, "none"), bounds), { code: "ENOENT" });
});

t.test("replaceFile() and placeFile() put a file in another's place, for its owner only", async (t) => {
  const folder = await folderOf(t);
  const path = join(folder, "note");
  await writeFile(path, "a long text that was there before");
  await chmod(path, 0o644);
  await replaceFile(path, Buffer.from("first"));
  t.equal(await readFile(path, "utf8"), "first");
  t.equal((await stat(path)).mode & 0o777, 0o600);
  const temporary = join(folder, "note.half");
  await writeFile(temporary, "what an earlier process left there");
  await placeFile(path, Buffer.from("2"), { temporary });
  t.equal(await readFile(path, "utf8"), "2");
  t.same(await readdir(folder), ["note"], "no temporary file stays");
});

t.test("placeFile() with isNew does not touch a temporary file of somebody else", async (t) => {
  const folder = await folderOf(t);
  const path = join(folder, "note");
  const temporary = join(folder, "note.half");
  await writeFile(path, "old");
  await writeFile(temporary, "another's");
  await t.rejects(placeFile(path, Buffer.from("new"), { temporary, isNew: true }), { code: "EEXIST" });
  t.equal(await readFile(path, "utf8"), "old");
  t.equal(await readFile(temporary, "utf8"), "another's");
});
