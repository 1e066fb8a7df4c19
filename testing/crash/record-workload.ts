import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFile, mkdir, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { loadBinding } from "../../src/fuse/index.js";
import { Cleanup } from "../rig/cleanup.js";
import { command } from "../rig/command.js";
import { buildCrashDisk } from "./build-crash-disk.js";
import { attachLoop, detachMount } from "./crash-folder.js";

const DISK_BYTES = 24 * 1024 * 1024;

/** ext4's own numbers made small; the journal is what makes a mount slow. */
const mkfsWords = ["-q", "-F", "-b", "4096", "-J", "size=4", "-E", "nodiscard,lazy_itable_init=0"];

const workloadProgram = fileURLToPath(new URL("./workload-main.js", import.meta.url));

export interface Recording {
  /** The disk before the workload. */
  readonly basePath: string;
  /** What the disk was told, see `readDiskLog`. */
  readonly logPath: string;
  /** What the workload was promised, see `Journal`; its positions are lengths of the log in bytes. */
  readonly journalPath: string;
}

/** Runs a workload in a process of its own on ext4 on a disk that remembers. */
export async function recordWorkload(options: {
  readonly folder: string;
  readonly seed: number;
  readonly operations: number;
  readonly variant: "right" | "commits-without-sync";
}): Promise<Recording> {
  const { folder, seed, operations, variant } = options;
  await mkdir(folder, { recursive: true });
  const [basePath, diskPath] = [join(folder, "base"), join(folder, "disk")];
  const [logPath, journalPath] = [join(folder, "log"), join(folder, "journal")];
  const [fuseFolder, mountPoint] = [join(folder, "fuse"), join(folder, "mount")];
  await writeFile(basePath, "");
  await truncate(basePath, DISK_BYTES);
  await command("mkfs.ext4", [...mkfsWords, basePath]);
  await copyFile(basePath, diskPath);
  await mkdir(fuseFolder);
  await mkdir(mountPoint);
  await writeFile(journalPath, "");
  const program = await buildCrashDisk();
  await using cleanup = new Cleanup();
  const disk = spawn(program, [diskPath, logPath, fuseFolder], { stdio: ["ignore", "pipe", "inherit"] });
  const diskEnd = once(disk, "close");
  cleanup.add(async () => void (await diskEnd));
  cleanup.add(async () => await detachMount(fuseFolder));
  await Promise.race([
    once(disk.stdout, "data"),
    diskEnd.then(() => Promise.reject(new Error("crash-disk ended"))),
  ]);
  const device = await attachLoop(join(fuseFolder, "disk"), cleanup);
  await loadBinding().mount(device, mountPoint, "ext4", 0, "");
  cleanup.add(async () => await detachMount(mountPoint));
  const words = [mountPoint, logPath, journalPath, String(seed), String(operations), variant];
  await command(process.execPath, ["--enable-source-maps", workloadProgram, ...words]);
  return { basePath, logPath, journalPath };
}
