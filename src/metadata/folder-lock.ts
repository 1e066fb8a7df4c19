import { spawn } from "node:child_process";
import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import { failedPrecondition } from "../errors/index.js";

/** Exit code of flock(1) when another process has the lock (`--nonblock`). */
const LOCK_TAKEN = 1;

/**
 * Takes a folder for this process alone until the handle is closed or the process ends in any way. The lock is
 * flock(2) on our open file: flock(1) sets it through the descriptor it inherits, and it outlives that helper.
 * @throws FAILED_PRECONDITION when another process has it
 */
export async function lockFolder(folder: string): Promise<AsyncDisposable> {
  const path = join(folder, "lock");
  const file = await open(path, "a+", 0o600);
  try {
    const code = await setLock(file);
    if (code === LOCK_TAKEN) throw await taken(file, path);
    if (code !== 0) throw new Error(`flock ended with ${code}`);
    await file.truncate(0);
    await file.write(`${process.pid}\n`, 0);
  } catch (thrown) {
    await file.close();
    throw thrown;
  }
  return { [Symbol.asyncDispose]: async () => await file.close() };
}

async function setLock(file: FileHandle): Promise<number> {
  const child = spawn("flock", ["--exclusive", "--nonblock", "3"], {
    stdio: ["ignore", "ignore", "ignore", file.fd],
  });
  return await new Promise((resolve, reject) => {
    child.on("error", (cause: NodeJS.ErrnoException) =>
      reject(
        cause.code !== "ENOENT"
          ? cause
          : failedPrecondition("Cannot lock the metadata: want the program flock, got none that starts", {
              reason: "flock-missing",
              hint: "Install util-linux",
              cause,
            }),
      ),
    );
    child.on("exit", (code) => resolve(code ?? -1));
  });
}

async function taken(file: FileHandle, path: string): Promise<Error> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(32), 0, 32, 0);
  const holder = buffer.toString("latin1", 0, bytesRead).trim();
  return failedPrecondition(`Cannot open the metadata: want ${path} free, got a lock of process ${holder}`, {
    subject: path,
    reason: "metadata-in-use",
    hint: "Another lazuli runs on this root: stop it, or give this one a root of its own",
  });
}
