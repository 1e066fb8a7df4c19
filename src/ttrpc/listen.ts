import { once } from "node:events";
import { chmod, lstat, mkdtemp, rename, rm, unlink } from "node:fs/promises";
import { connect, createServer, type Server, type Socket } from "node:net";
import { dirname, join } from "node:path";
import { failedPrecondition } from "../errors/index.js";

export interface ListenOptions {
  /** Its folder exists. A socket that nobody answers on is replaced. */
  readonly socketPath: string;
  readonly mode: number;
  readonly onConnection: (socket: Socket) => void;
}

export interface Listener {
  /** Takes no new connections, waits for the open ones to end, and removes the socket. */
  close(): Promise<void>;
}

/** Longest wait for the one who may still listen on the socket. */
const PROBE_TIMEOUT_MS = 2000;

/** Listens on a Unix socket. @throws FAILED_PRECONDITION when somebody serves there already */
export async function listenOnSocket(options: ListenOptions): Promise<Listener> {
  const { socketPath, mode, onConnection } = options;
  await requireUnused(socketPath);
  const server = createServer(onConnection);
  const inode = await listen(server, socketPath, mode);
  return {
    close: async () => {
      await new Promise<void>((resolve) => server.close(() => resolve()));
      const stat = await lstat(socketPath).catch(() => undefined); // Gone already: nothing to remove.
      // A server that was started since has a socket of its own there.
      if (stat?.ino === inode) await unlink(socketPath);
    },
  };
}

async function requireUnused(socketPath: string): Promise<void> {
  const stat = await lstat(socketPath).catch(() => undefined); // Nothing there, or told by listen().
  if (stat === undefined) return;
  if (stat.isSocket() && !(await isAnswered(socketPath))) return;
  const got = stat.isSocket() ? "a server that answers" : "another file";
  throw failedPrecondition(`Cannot listen on ${socketPath}: want a free path, got ${got}`, {
    subject: socketPath,
    reason: stat.isSocket() ? "socket-in-use" : "socket-path-taken",
    hint: "Choose another path, or stop who serves there",
  });
}

async function isAnswered(socketPath: string): Promise<boolean> {
  const socket = connect(socketPath);
  return await new Promise((resolve) => {
    const done = (value: boolean): void => {
      socket.destroy();
      resolve(value);
    };
    socket.setTimeout(PROBE_TIMEOUT_MS, () => done(true));
    socket.once("connect", () => done(true));
    socket.once("error", () => done(false));
  });
}

/**
 * Binds in a private folder and moves the socket into place: nobody can connect before the mode is right, and an old
 * socket is replaced in one step. Returns the socket's inode.
 */
async function listen(server: Server, socketPath: string, mode: number): Promise<number> {
  const folder = await mkdtemp(join(dirname(socketPath), ".l-"));
  try {
    const path = join(folder, "s");
    server.listen(path);
    await once(server, "listening");
    await chmod(path, mode);
    const { ino } = await lstat(path);
    await rename(path, socketPath);
    return ino;
  } catch (thrown) {
    server.close();
    throw thrown;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
