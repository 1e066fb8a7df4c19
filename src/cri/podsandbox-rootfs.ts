import { chmod, copyFile, mkdir, rename, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { failedPrecondition, LazuliError } from "../errors/index.js";

/** Name of the program in the root file system. */
export const PAUSE_PROGRAM = "/pause";

/** Places that a runtime mounts on: the pod's user may not make them, and many pods share them. */
const MOUNT_FOLDERS = ["proc", "dev", "sys", "run", "etc", "tmp"];
const MOUNT_FILES = ["etc/resolv.conf", "etc/hostname", "etc/hosts"];

/**
 * Makes the root file system of all pods' first process: our static program, and nothing else to run.
 * @throws FAILED_PRECONDITION `pause-missing`
 */
export async function makePauseRootfs(request: {
  readonly folder: string;
  readonly program: string;
}): Promise<void> {
  const { folder, program } = request;
  try {
    await mkdir(folder, { recursive: true, mode: 0o755 });
    for (const name of MOUNT_FOLDERS) await mkdir(join(folder, name), { recursive: true, mode: 0o755 });
    for (const name of MOUNT_FILES) {
      await mkdir(dirname(join(folder, name)), { recursive: true });
      await writeFile(join(folder, name), "", { flag: "a", mode: 0o644 });
    }
    // Under a new name first: pods of an earlier version run the old file.
    const copy = join(folder, ".pause-new");
    await copyFile(program, copy);
    await chmod(copy, 0o755);
    await rename(copy, join(folder, PAUSE_PROGRAM));
  } catch (thrown) {
    throw failedPrecondition(
      `Cannot make the root file system of pods in ${folder}: ${LazuliError.from(thrown).message}`,
      {
        subject: program,
        reason: "pause-missing",
        hint: "The program lazuli-pause must lie beside the native module",
        cause: thrown,
      },
    );
  }
}
