import { chmod, lstat, mkdir } from "node:fs/promises";
import { failedPrecondition } from "../errors/index.js";

/** Only the daemon's user may look in: the files of every image lie below (CVE-2024-25621 was such a folder). */
const FOLDER_MODE = 0o700;

/** Others may pass to what they know the name of: root of a user namespace has to reach its container's root. */
const PASSABLE_MODE = 0o711;

/** Makes a folder of our own, or checks the one that is there. @throws FAILED_PRECONDITION */
export async function ensurePrivateFolder(path: string): Promise<void> {
  await ensureFolder(path, FOLDER_MODE);
}

/** The same of one in which private folders lie beside the roots of containers. @throws FAILED_PRECONDITION */
export async function ensurePassableFolder(path: string): Promise<void> {
  await ensureFolder(path, PASSABLE_MODE);
  await chmod(path, PASSABLE_MODE);
}

async function ensureFolder(path: string, mode: number): Promise<void> {
  await mkdir(path, { recursive: true, mode });
  const stat = await lstat(path);
  if (!stat.isDirectory()) {
    throw failedPrecondition(`Cannot use ${path}: want a folder, got a link or another file`, {
      subject: path,
      reason: "folder-invalid",
      hint: "Give the real path of a folder",
    });
  }
  if (stat.uid !== process.getuid?.() || (stat.mode & 0o777 & ~mode) !== 0) {
    throw failedPrecondition(
      `Cannot use ${path}: want mode 0${mode.toString(8)} and owner ${process.getuid?.()}, got ${(stat.mode & 0o777).toString(8)} and owner ${stat.uid}`,
      {
        subject: path,
        reason: "folder-open",
        hint: `It may hold every image's files: check who may look in, then chmod 0${mode.toString(8)} ${path}`,
      },
    );
  }
}
