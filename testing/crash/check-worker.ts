/** Makes disks as a loss of power leaves them and checks each: BASE LOG JOURNAL DISK DEVICE MOUNT_POINT; images come by IPC. */
import { openSync, readFileSync, writeSync } from "node:fs";
import { loadBinding } from "../../src/fuse/index.js";
import { command } from "../rig/command.js";
import { checkAfterCrash } from "./check-parts.js";
import { type CrashImage, FlushedDisk, survivors } from "./crash-image.js";
import { readDiskLog } from "./disk-log.js";
import { Journal } from "./journal.js";

export interface ImageResult {
  readonly number: number;
  readonly problems: readonly string[];
}

const [basePath, logPath, journalPath, diskPath, device, mountPoint] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
  string,
  string,
];
const binding = loadBinding();
const records = readDiskLog(readFileSync(logPath));
const journal = Journal.read(journalPath);
const flushed = new FlushedDisk(readFileSync(basePath), records);
const disk = openSync(diskPath, "r+");

async function check(image: CrashImage): Promise<readonly string[]> {
  flushed.moveTo(image.flushed);
  writeSync(disk, flushed.bytes, 0, flushed.bytes.length, 0);
  for (const { offset, bytes } of survivors(records, image)) writeSync(disk, bytes, 0, bytes.length, offset);
  // Whoever looks through all block devices keeps this one open now and then, and so the last image's blocks in memory.
  await command("blockdev", ["--flushbufs", device]);
  try {
    await binding.mount(device, mountPoint, "ext4", 0, "");
  } catch (thrown) {
    return [`ext4 can't be mounted: ${String(thrown)}`];
  }
  try {
    const position = image.cut === 0 ? 0 : records[image.cut - 1]!.logEnd;
    return await checkAfterCrash(mountPoint, journal.allowedAt(position));
  } finally {
    await binding.umount(mountPoint, 0);
  }
}

process.on("message", (image: CrashImage) => {
  const answer = (problems: readonly string[]): void => {
    process.send?.({ number: image.number, problems } satisfies ImageResult);
  };
  check(image).then(answer, (thrown: unknown) => answer([`the check failed: ${String(thrown)}`]));
});
process.on("disconnect", () => process.exit());
