import { lstat, unlink } from "node:fs/promises";
import { failedPrecondition } from "../errors/index.js";

/**
 * Makes room for a socket at this path: one that an ended process left is removed, anything else is kept.
 * The caller holds the daemon's lock, so nobody listens there. @throws FAILED_PRECONDITION when it is no socket
 */
export async function removeStaleSocket(path: string): Promise<void> {
  const stat = await lstat(path).catch((thrown: NodeJS.ErrnoException) => {
    if (thrown.code === "ENOENT") return undefined;
    throw thrown;
  });
  if (stat === undefined) return;
  if (!stat.isSocket()) {
    throw failedPrecondition(
      `Cannot listen on ${path}: want a free path or an old socket, got another file`,
      {
        subject: path,
        reason: "socket-path-taken",
        hint: "Move the file away, or choose another address in the config",
      },
    );
  }
  await unlink(path);
}
