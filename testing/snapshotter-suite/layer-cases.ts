import { randomBytes } from "node:crypto";
import {
  chmod,
  lstat,
  lutimes,
  open,
  readdir,
  readFile,
  rm,
  symlink,
  utimes,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";
import { command } from "../rig/command.js";
import { withMounts } from "./mounting.js";
import { cases, type SuiteCases } from "./suite-case.js";
import { type Applier, makeFolder, type SuiteRig } from "./suite-rig.js";
import { treeFacts } from "./tree-facts.js";

const LARGE_BYTES = 3 * 1024 * 1024 + 17;
const SPARSE_BYTES = 64 * 1024 * 1024;
const BLOCK_BYTES = 512;

const file =
  (path: string, content: string | Buffer = path): Applier =>
  async (folder) =>
    await writeFile(join(folder, path), content);

async function viewsAreReadOnly(rig: SuiteRig): Promise<void> {
  const parent = await rig.layer("", file("foo"));
  const above = await rig.layer(parent, file("bar"));
  for (const name of ["", parent, above]) {
    const key = rig.name("view");
    await withMounts(await rig.view(key, name), async (folder) => {
      const written = writeFile(join(folder, "new"), "x");
      await rig.t.rejects(written, { code: "EROFS" }, "a view can't be written");
      const gone = rm(join(folder, "foo"));
      await rig.t.rejects(gone, { code: name === "" ? "ENOENT" : "EROFS" }, "nor can anything be deleted");
    });
    await rig.snapshotter.remove(key);
  }
}

async function viewsAndActives(rig: SuiteRig): Promise<void> {
  const base = await rig.layer("", file("shared", "base"));
  const [one, two, view] = [rig.name("one"), rig.name("two"), rig.name("view")];
  const [first, second] = [await rig.prepare(one, base), await rig.prepare(two, base)];
  const viewed = await rig.view(view, base);
  // All three at once: what one writes, no other sees.
  await withMounts(first, async (left) => {
    await withMounts(second, async (right) => {
      await withMounts(viewed, async (seen) => {
        await writeFile(join(left, "shared"), "left");
        await rm(join(right, "shared"));
        await writeFile(join(right, "own"), "right");
        const read = async (folder: string) => await readFile(join(folder, "shared"), "utf8");
        rig.t.equal(await read(left), "left");
        rig.t.equal(await read(seen), "base");
        rig.t.same(await readdir(left), ["shared"]);
        rig.t.same(await readdir(right), ["own"]);
        rig.t.same(await readdir(seen), ["shared"]);
      });
    });
  });
  await rig.commit(rig.name("left"), one);
  rig.t.same(await rig.mounted(two, async (folder) => await readdir(folder)), ["own"], "is not touched");
  rig.t.same(await rig.mounted(view, async (folder) => await readdir(folder)), ["shared"]);
  await rig.removeOwn();
}

async function oddFiles(rig: SuiteRig): Promise<void> {
  const base: Applier = async (folder) => {
    await makeFolder(join(folder, "dir/deep"));
    await command("mkfifo", ["-m", "0640", join(folder, "fifo")]);
    await command("mknod", [join(folder, "block"), "b", "7", "99"]);
    await writeFile(join(folder, "setuid"), "#!/bin/sh\n");
    await command("chown", ["1234:4321", join(folder, "setuid")]);
    await chmod(join(folder, "setuid"), 0o4755);
    await makeFolder(join(folder, "tmp"));
    await chmod(join(folder, "tmp"), 0o1777);
    await writeFile(join(folder, "unreadable"), "secret");
    await chmod(join(folder, "unreadable"), 0);
    await writeFile(join(folder, "capable"), "x");
    await command("setcap", ["cap_net_raw+ep", join(folder, "capable")]);
    await command("setfattr", ["-n", "user.on-a-folder", "-v", "kept", join(folder, "dir")]);
    await symlink("/nowhere/at all", join(folder, "dangling"));
    await command("chown", ["-h", "77:78", join(folder, "dangling")]);
    await writeFile(join(folder, "empty"), "");
    await writeFile(join(folder, " sp\nace\t"), "named oddly");
  };
  await rig.checkLayers([
    base,
    async (folder) => {
      await command("setfattr", ["-n", "user.on-a-folder", "-v", "changed", join(folder, "dir")]);
      await rm(join(folder, "fifo"));
      await rm(join(folder, "block"));
      await chmod(join(folder, "unreadable"), 0o400);
    },
    // Kinds change places.
    async (folder) => {
      await rm(join(folder, "dir"), { recursive: true });
      await writeFile(join(folder, "dir"), "a file now");
      await rm(join(folder, "empty"));
      await makeFolder(join(folder, "empty/not"));
      await rm(join(folder, "dangling"));
      await makeFolder(join(folder, "dangling"));
    },
  ]);
}

/** Names that are no UTF-8: readdir as text can't tell them. */
async function byteNames(rig: SuiteRig): Promise<void> {
  const names = [Buffer.from([0xff, 0xfe, 0x41]), Buffer.from([0x80]), Buffer.from("é")];
  const path = (folder: string, name: Buffer): Buffer => Buffer.concat([Buffer.from(`${folder}/`), name]);
  const wanted = names.map((name) => name.toString("hex")).sort();
  const base = await rig.layer("", async (folder) => {
    for (const name of names) await writeFile(path(folder, name), name);
  });
  const list = async (folder: string): Promise<string[]> =>
    (await readdir(folder, { encoding: "buffer" })).map((name) => name.toString("hex")).sort();
  rig.t.same(await rig.viewed(base, list), wanted);
  const above = await rig.layer(base, async (folder) => {
    rig.t.ok((await readFile(path(folder, names[0]!))).equals(names[0]!), "the content is there");
    await rm(path(folder, names[0]!));
    await writeFile(path(folder, names[1]!), "changed");
  });
  rig.t.same(
    await rig.viewed(above, list),
    wanted.filter((name) => name !== "fffe41"),
  );
  await rig.removeOwn();
}

async function timesOfFiles(rig: SuiteRig): Promise<void> {
  const [early, late] = [1_000_000_001.25, 1_600_000_000.5];
  const base = await rig.layer("", async (folder) => {
    await makeFolder(join(folder, "dir"));
    await writeFile(join(folder, "dir/file"), "x");
    await symlink("x", join(folder, "dir/link"));
    await utimes(join(folder, "dir/file"), early, early);
    await lutimes(join(folder, "dir/link"), late, late);
    await utimes(join(folder, "dir"), early, early);
    await utimes(folder, late, late);
  });
  const above = await rig.layer(base, file("other"));
  const times = async (folder: string): Promise<bigint[]> =>
    await Promise.all(
      ["dir", "dir/file", "dir/link"].map(
        async (name) => (await lstat(join(folder, name), { bigint: true })).mtimeNs,
      ),
    );
  const wanted = [1_000_000_001_250_000_000n, 1_000_000_001_250_000_000n, 1_600_000_000_500_000_000n];
  rig.t.same(await rig.viewed(base, times), wanted, "as they were set");
  rig.t.same(await rig.viewed(above, times), wanted, "below another layer");
  const root = async (folder: string) => (await lstat(folder, { bigint: true })).mtimeNs;
  rig.t.equal(await rig.viewed(base, root), 1_600_000_000_500_000_000n, "the root's too");
}

async function contents(rig: SuiteRig): Promise<void> {
  const large = randomBytes(LARGE_BYTES);
  const base = await rig.layer("", file("large", large));
  const above = await rig.layer(base, file("small"));
  const read = async (folder: string) => await readFile(join(folder, "large"));
  rig.t.ok((await rig.viewed(above, read)).equals(large), "the large file's bytes");
  const patched = await rig.layer(above, async (folder) => {
    const handle = await open(join(folder, "large"), "r+");
    await handle.write("patched", LARGE_BYTES - 100);
    await handle.close();
  });
  const wanted = Buffer.from(large);
  wanted.write("patched", LARGE_BYTES - 100);
  rig.t.ok((await rig.viewed(patched, read)).equals(wanted), "a part was written over");
  rig.t.ok((await rig.viewed(base, read)).equals(large), "below it is as it was");
  await rig.removeOwn();
}

async function holes(rig: SuiteRig): Promise<void> {
  const base = await rig.layer("", async (folder) => {
    const handle = await open(join(folder, "sparse"), "w");
    await handle.truncate(SPARSE_BYTES);
    await handle.write("in the middle", SPARSE_BYTES / 2);
    await handle.close();
  });
  for (const name of [base, await rig.layer(base, file("small"))]) {
    await rig.viewed(name, async (folder) => {
      const { size, blocks } = await lstat(join(folder, "sparse"));
      rig.t.equal(size, SPARSE_BYTES);
      rig.t.ok(blocks * BLOCK_BYTES < 1024 * 1024, "a hole stays one");
      const handle = await open(join(folder, "sparse"));
      const { buffer } = await handle.read(Buffer.alloc(13), 0, 13, SPARSE_BYTES / 2);
      await handle.close();
      rig.t.equal(buffer.toString(), "in the middle");
    });
  }
  await rig.removeOwn();
}

/** Cases about what layers hold and what of it others see. */
export const layerCases: SuiteCases = cases([], {
  ViewReadonly: viewsAreReadOnly,
  ViewsAndActives: viewsAndActives,
  OddFiles: oddFiles,
  ByteNames: byteNames,
  TimesOfFiles: timesOfFiles,
  Contents: contents,
  Holes: holes,
  /** What was written before the snapshotter is asked is in the layer, flushed by its writer or not. */
  CommitWhileMounted: async (rig) => {
    const [key, name] = [rig.name("key"), rig.name("name")];
    await withMounts(await rig.prepare(key), async (folder) => {
      await writeFile(join(folder, "written"), "while mounted");
      await rig.commit(name, key);
    });
    const read = async (folder: string) => await readFile(join(folder, "written"), "utf8");
    rig.t.equal(await rig.viewed(name, read), "while mounted");
  },
  EmptyLayers: async (rig) => {
    const nothing: Applier = async () => undefined;
    await rig.checkLayers([nothing, nothing, file("x"), nothing, nothing]);
    rig.t.same(await rig.viewed("", treeFacts), [], "a view of nothing is empty");
  },
});
