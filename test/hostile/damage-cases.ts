import {
  appendFile,
  mkdir,
  open,
  readFile,
  rm,
  symlink,
  truncate,
  unlink,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";
import { command } from "../../testing/rig/command.js";

/** Something that happens to a file at rest. */
export interface Damage {
  readonly name: string;
  readonly does: (path: string) => Promise<unknown>;
}

export const MANY_BYTES = 1 << 20;

async function flip(path: string, at: (size: number) => number): Promise<void> {
  await using file = await open(path, "r+");
  const { size } = await file.stat();
  if (size === 0) return;
  const byte = Buffer.alloc(1);
  await file.read(byte, 0, 1, at(size));
  byte[0]! ^= 0xff;
  await file.write(byte, 0, 1, at(size));
}

/** Each of them to any file. */
export const damages: readonly Damage[] = [
  { name: "is gone", does: unlink },
  { name: "is empty", does: async (path) => await truncate(path, 0) },
  {
    name: "has lost its last byte",
    does: async (path) => await truncate(path, Math.max(0, (await readFile(path)).length - 1)),
  },
  {
    name: "is cut in half",
    does: async (path) => await truncate(path, Math.floor((await readFile(path)).length / 2)),
  },
  { name: "has another first byte", does: async (path) => await flip(path, () => 0) },
  {
    name: "has another byte in the middle",
    does: async (path) => await flip(path, (size) => Math.floor(size / 2)),
  },
  { name: "has another last byte", does: async (path) => await flip(path, (size) => size - 1) },
  {
    name: "is zeros",
    does: async (path) => await writeFile(path, Buffer.alloc((await readFile(path)).length)),
  },
  {
    name: "is ones",
    does: async (path) => await writeFile(path, Buffer.alloc((await readFile(path)).length, 255)),
  },
  {
    name: "is a megabyte longer",
    does: async (path) => await appendFile(path, Buffer.alloc(MANY_BYTES, 97)),
  },
  {
    name: "is a link out",
    does: async (path) => {
      await unlink(path);
      await symlink("/etc/passwd", path);
    },
  },
  {
    name: "is a link to itself",
    does: async (path) => {
      await unlink(path);
      await symlink(path, path);
    },
  },
  {
    name: "is a folder",
    does: async (path) => {
      await rm(path);
      await mkdir(path);
    },
  },
  {
    name: "is a FIFO",
    does: async (path) => {
      await unlink(path);
      await command("mkfifo", [path]);
    },
  },
];

/** Strange company in the folder of ingests. */
export const companies: readonly Damage[] = [
  { name: "a file", does: async (folder) => await writeFile(join(folder, "x"), "x") },
  { name: "an empty folder", does: async (folder) => await mkdir(join(folder, "x")) },
  { name: "a link to itself", does: async (folder) => await symlink("x", join(folder, "x")) },
  { name: "a link out", does: async (folder) => await symlink("/etc", join(folder, "x")) },
  { name: "a FIFO", does: async (folder) => await command("mkfifo", [join(folder, "x")]) },
  {
    name: "a folder with a folder for a ref",
    does: async (folder) => await mkdir(join(folder, "x", "ref"), { recursive: true }),
  },
  {
    name: "a folder with a ref of a megabyte",
    does: async (folder) => {
      await mkdir(join(folder, "x"));
      await writeFile(join(folder, "x", "ref"), Buffer.alloc(MANY_BYTES, 97));
    },
  },
  {
    name: "a folder with a FIFO for a ref",
    does: async (folder) => {
      await mkdir(join(folder, "x"));
      await command("mkfifo", [join(folder, "x", "ref")]);
    },
  },
];
