import {
  chmod,
  chown,
  link,
  lstat,
  mkdir,
  rename,
  rm,
  symlink,
  unlink,
  utimes,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";
import { command } from "../rig/command.js";
import { withMounts } from "./mounting.js";
import { cases, type SuiteCases } from "./suite-case.js";
import { type Applier, makeFolder } from "./suite-rig.js";

const write =
  (path: string, text: string, mode = 0o644): Applier =>
  async (folder) => {
    await writeFile(join(folder, path), text);
    await chmod(join(folder, path), mode);
  };
const folders =
  (...paths: string[]): Applier =>
  async (folder) => {
    for (const path of paths) await makeFolder(join(folder, path));
  };
const remove =
  (path: string): Applier =>
  async (folder) => {
    await rm(join(folder, path), { recursive: true });
  };
const own =
  (path: string, uid: number, gid: number): Applier =>
  async (folder) => {
    await chown(join(folder, path), uid, gid);
  };
const all =
  (...appliers: Applier[]): Applier =>
  async (folder) => {
    for (const applier of appliers) await applier(folder);
  };

/** The same size again, and a time in another second, as an editor leaves it. */
function update(round: number): Applier {
  return async (folder) => {
    const [passwd, hosts] = [join(folder, "etc/passwd"), join(folder, "etc/hosts")];
    await writeFile(passwd, `round ${round}\n`);
    await utimes(passwd, 1_000_000 + round, 1_000_000 + round);
    if (round === 2) await chmod(passwd, 0o666);
    await writeFile(hosts, `127.0.0.${round}\n`);
  };
}

/** Cases that compare what is mounted with a plain folder that had the same changes. */
export const treeCases: SuiteCases = cases([], {
  LayerFileupdate: async (rig) => {
    const base = all(folders("etc"), write("etc/passwd", "round 0\n"), write("etc/hosts", "127.0.0.0\n"));
    await rig.checkLayers([base, update(1), update(2), update(3), update(4), update(5)]);
  },
  RemoveDirectoryInLowerLayer: async (rig) => {
    await rig.checkLayers([
      all(folders("lib"), write("lib/hidden", "hidden\n")),
      all(remove("lib"), folders("lib"), write("lib/not-hidden", "seen\n")),
      write("lib/other", "third\n", 0o600),
    ]);
  },
  Chown: async (rig) => {
    await rig.checkLayers([
      all(folders("opt", "opt/a", "opt/a/b"), write("opt/a/b/file.txt", "hello\n")),
      all(own("opt", 1, 1), own("opt/a", 1, 2), own("opt/a/b", 2, 1), own("opt/a/b/file.txt", 3, 4)),
    ]);
  },
  DirectoryPermissionOnCommit: async (rig) => {
    const dirs = ["dir1", "dir2", "dir3", "dir4", "dir5"];
    await rig.checkLayers([
      folders(...dirs),
      all(
        own("dir1", 1, 1),
        own("dir2", 1, 1),
        write("dir2/file", "x"),
        own("dir3", 1, 1),
        own("dir4", 1, 1),
      ),
      all(remove("dir1"), remove("dir2"), folders("dir1", "dir2"), own("dir2", 2, 2), remove("dir4")),
      all(folders("dir4"), write("dir4/file", "y"), own("dir5", 5, 6)),
    ]);
  },
  DeletedFilesInChildSnapshot: async (rig) => {
    await rig.checkLayers([
      all(write("foo", "foo\n"), write("bar", "bar\n")),
      remove("foo"),
      all(remove("bar"), write("baz", "baz\n")),
    ]);
  },
  MoveFileFromLowerLayer: async (rig) => {
    await rig.checkLayers([
      all(folders("dir1", "dir2"), write("dir1/f1", "one"), write("dir2/f2", "two"), async (folder) => {
        await symlink("f2", join(folder, "dir2/link"));
        await command("mknod", [join(folder, "dir2/null"), "c", "1", "3"]);
        await command("setfattr", ["-n", "user.note", "-v", "kept", join(folder, "dir1/f1")]);
      }),
      async (folder) => {
        await rm(join(folder, "dir2"), { recursive: true });
        await mkdir(join(folder, "dir3"));
        await link(join(folder, "dir1/f1"), join(folder, "dir3/f1"));
        await link(join(folder, "dir1/f1"), join(folder, "dir3/again"));
        await unlink(join(folder, "dir1/f1"));
      },
    ]);
  },
  Rename: async (rig) => {
    await rig.checkLayers([
      all(folders("dir1", "somefiles"), write("somefiles/f1", "was here"), write("somefiles/f2", "not me")),
      async (folder) => {
        await rename(join(folder, "somefiles/f1"), join(folder, "somefiles/f2"));
        await writeFile(join(folder, "dir1/new"), "new");
        await rename(join(folder, "dir1/new"), join(folder, "dir1/newer"));
      },
    ]);
  },
  RootPermission: async (rig) => {
    const mounts = await rig.prepare(rig.name("root"));
    await withMounts(mounts, async (folder) => {
      rig.t.equal((await lstat(folder)).mode & 0o777, 0o755);
    });
  },
});
