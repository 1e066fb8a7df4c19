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

/** Code of a process that was killed, as `command` tells it. */
const KILLED = 137;

/** A task is done by one process, or by two of which the first is killed at a failure point. */
export type WorkloadTask =
  | { readonly kind: "operations"; readonly count: number; readonly isSynced: boolean }
  | { readonly kind: "put-again"; readonly killedAt: string };

/** What one process does. */
export type WorkloadStep =
  | Extract<WorkloadTask, { kind: "operations" }>
  | { readonly kind: "put"; readonly killedAt: string | undefined };

function stepsOf(task: WorkloadTask): WorkloadStep[] {
  if (task.kind === "operations") return [task];
  return [
    { kind: "put", killedAt: task.killedAt },
    { kind: "put", killedAt: undefined },
  ];
}

/** Runs a workload in a process of its own on ext4 on a disk that remembers. */
export async function recordWorkload(options: {
  readonly folder: string;
  readonly seed: number;
  readonly task: WorkloadTask;
}): Promise<Recording> {
  const { folder, seed, task } = options;
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
  const words = ["--enable-source-maps", workloadProgram, mountPoint, logPath, journalPath, String(seed)];
  for (const step of stepsOf(task)) {
    await command(process.execPath, [...words, JSON.stringify(step)], { allow: [KILLED] });
  }
  return { basePath, logPath, journalPath };
}
