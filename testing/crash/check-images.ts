import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { copyFile, mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Cleanup } from "../rig/cleanup.js";
import type { ImageResult } from "./check-worker.js";
import { attachLoop, detachMount } from "./crash-folder.js";
import { type CrashImage, planImages } from "./crash-image.js";
import { readDiskLog } from "./disk-log.js";
import { Journal } from "./journal.js";
import type { Recording } from "./record-workload.js";

/** Processes that check side by side; each holds the log and two disks in memory. */
const WORKERS = 2;
const IMAGE_TIMEOUT_MS = 60_000;
/** Failures after which the rest is not tried. */
const FAILURES_MAX = 10;

const workerProgram = fileURLToPath(new URL("./check-worker.js", import.meta.url));

export interface ImageFailure {
  readonly image: CrashImage;
  readonly problems: readonly string[];
}

export interface CheckedImages {
  readonly images: number;
  readonly failures: readonly ImageFailure[];
  readonly records: number;
  readonly flushes: number;
  readonly promises: number;
}

/** Checks `count` disks that a loss of power during a recorded workload may leave. */
export async function checkImages(
  recording: Recording,
  options: { readonly folder: string; readonly count: number; readonly seed: number; readonly only?: number },
): Promise<CheckedImages> {
  const records = readDiskLog(await readFile(recording.logPath));
  const acknowledgedAt = Journal.read(recording.journalPath).acknowledgedAt();
  const planned = planImages({ records, acknowledgedAt, count: options.count, seed: options.seed });
  const chosen = planned.filter(({ number }) => options.only === undefined || number === options.only);
  // In the order of the log a worker's disk only ever gets newer.
  const queue = chosen.toSorted((one, other) => one.flushed - other.flushed);
  const failures: ImageFailure[] = [];
  let images = 0;
  const work = async (name: string): Promise<void> => {
    await using cleanup = new Cleanup();
    const worker = await startWorker(recording, join(options.folder, name), cleanup);
    for (let image = queue.shift(); image !== undefined; image = queue.shift()) {
      const { problems } = await ask(worker, image);
      images += 1;
      if (problems.length > 0) failures.push({ image, problems });
      if (failures.length >= FAILURES_MAX) return;
    }
  };
  await Promise.all(Array.from({ length: WORKERS }, async (_, index) => await work(`worker-${index}`)));
  return {
    images,
    failures,
    records: records.length,
    flushes: records.filter(({ kind }) => kind === "flush").length,
    promises: acknowledgedAt.length,
  };
}

async function startWorker(recording: Recording, folder: string, cleanup: Cleanup): Promise<ChildProcess> {
  const [disk, mountPoint] = [join(folder, "disk"), join(folder, "mount")];
  await mkdir(mountPoint, { recursive: true });
  await copyFile(recording.basePath, disk);
  const device = await attachLoop(disk, cleanup);
  cleanup.add(async () => await detachMount(mountPoint));
  const { basePath, logPath, journalPath } = recording;
  // In a mount namespace of its own: of any other, a container that starts meanwhile has a copy for a while, until which
  // the kernel would give that file system once more, whatever the disk has by now.
  const alone = ["--mount", "--propagation", "private", process.execPath, "--enable-source-maps"];
  const files = [basePath, logPath, journalPath, disk, device, mountPoint];
  const worker = spawn("unshare", [...alone, workerProgram, ...files], {
    stdio: ["ignore", "ignore", "inherit", "ipc"],
  });
  cleanup.add(async () => {
    if (worker.exitCode !== null || worker.signalCode !== null) return;
    const end = once(worker, "exit");
    worker.kill("SIGKILL");
    await end;
  });
  return worker;
}

async function ask(worker: ChildProcess, image: CrashImage): Promise<ImageResult> {
  const signal = AbortSignal.timeout(IMAGE_TIMEOUT_MS);
  const stop = new AbortController();
  try {
    const ended = once(worker, "exit", { signal: stop.signal }).then(([code, killed]) => ({
      number: image.number,
      problems: [`the process that checked it ended with ${String(code ?? killed)}`],
    }));
    const answered = once(worker, "message", { signal }).then(([result]) => result as ImageResult);
    worker.send(image);
    return await Promise.race([answered, ended]);
  } finally {
    stop.abort();
  }
}
