import { once } from "node:events";
import { chmod, chown, lstat, mkdtemp, rename, rm, unlink } from "node:fs/promises";
import { createServer, type Http2Server, type ServerHttp2Session } from "node:http2";
import { connect } from "node:net";
import { dirname, join } from "node:path";
import type { ConnectRouter, Interceptor } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { failedPrecondition } from "../errors/index.js";

export interface ServeGrpcOptions {
  /** Its folder exists. A socket that nobody answers on is replaced. */
  readonly socketPath: string;
  /** Who may connect. */
  readonly mode: 0o600 | 0o660;
  /** Who has the socket; left out: who runs this. */
  readonly owner?: { readonly uid: number; readonly gid: number } | undefined;
  /** Largest messages; left out: containerd's limit. */
  readonly receivedBytesMax?: number;
  readonly sentBytesMax?: number;
  /** Around every call, the first outermost. */
  readonly interceptors?: readonly Interceptor[];
  readonly routes: readonly ((router: ConnectRouter) => void)[];
  /** Closes the server when it aborts. */
  readonly signal?: AbortSignal | undefined;
  /** Longest wait on closing for calls that are being answered. */
  readonly closeTimeoutMs?: number;
}

export interface GrpcServer {
  /** Takes no new calls, answers those it has, then removes the socket. Safe to call twice. */
  close(): Promise<void>;
}

/** containerd's limit for a message in either direction. */
const MESSAGE_BYTES_MAX = 16 * 1024 * 1024;
/** Above what a gRPC message can be. */
const COMPRESS_BYTES_MIN = 2 ** 32;
const CLOSE_TIMEOUT_MS = 10_000;
/** Longest wait for the one who may still listen on the socket. */
const PROBE_TIMEOUT_MS = 2000;
const UNIMPLEMENTED = 12;

/** Serves gRPC (HTTP/2 without TLS) on a Unix socket. @throws FAILED_PRECONDITION when somebody serves there already */
export async function serveGrpc(options: ServeGrpcOptions): Promise<GrpcServer> {
  const { socketPath, signal } = options;
  signal?.throwIfAborted();
  await requireUnused(socketPath);
  const server = createServer(handler(options));
  const sessions = new Set<ServerHttp2Session>();
  server.on("session", (session) => {
    sessions.add(session);
    session.on("close", () => sessions.delete(session));
  });
  const inode = await listen(server, options);
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => {
    signal?.removeEventListener("abort", onAbort);
    closing ??= closeServer({ server, sessions, timeoutMs: options.closeTimeoutMs ?? CLOSE_TIMEOUT_MS }).then(
      () => removeSocket(socketPath, inode),
    );
    return closing;
  };
  const onAbort = (): void => {
    // Who aborts has nobody to tell; `close` gives the same promise to those who ask.
    close().catch(() => undefined);
  };
  signal?.addEventListener("abort", onAbort, { once: true });
  return { close };
}

function handler(options: ServeGrpcOptions): Parameters<typeof createServer>[1] {
  const { routes, interceptors = [], receivedBytesMax, sentBytesMax } = options;
  const services = new Set<string>();
  return connectNodeAdapter({
    interceptors: [...interceptors],
    routes: (router) => {
      for (const route of routes) route(router);
      for (const { service } of router.handlers) services.add(service.typeName);
    },
    connect: false,
    grpcWeb: false,
    // No link is faster than a socket of this machine: nothing is worth compressing.
    compressMinBytes: COMPRESS_BYTES_MIN,
    readMaxBytes: receivedBytesMax ?? MESSAGE_BYTES_MAX,
    writeMaxBytes: sentBytesMax ?? MESSAGE_BYTES_MAX,
    fallback: (request) => {
      // A 404 makes grpc-go say "closed the stream without sending trailers"; this makes it say "unimplemented".
      if (!("stream" in request)) return;
      const [, service = "", method = ""] = request.url.split("/");
      const unknown = services.has(service)
        ? `method ${method} for service ${service}`
        : `service ${service}`;
      request.stream.respond(
        {
          ":status": 200,
          "content-type": "application/grpc",
          "grpc-status": String(UNIMPLEMENTED),
          "grpc-message": encodeURI(`unknown ${unknown}`),
        },
        { endStream: true },
      );
    },
  });
}

async function requireUnused(socketPath: string): Promise<void> {
  const stat = await lstat(socketPath).catch(() => undefined); // Nothing there, or told by listen().
  if (stat === undefined) return;
  if (!stat.isSocket()) {
    throw failedPrecondition(`Cannot listen on ${socketPath}: want a free path, got another file`, {
      subject: socketPath,
      reason: "socket-path-taken",
      hint: "Move the file away, or choose another address",
    });
  }
  if (!(await isAnswered(socketPath))) return;
  throw failedPrecondition(`Cannot listen on ${socketPath}: want a free path, got a server that answers`, {
    subject: socketPath,
    reason: "socket-in-use",
    hint: "Another lazuli runs there: stop it, or choose another address",
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
 * Binds in a private folder and moves the socket into place: nobody can connect before owner and mode are right, and an
 * old socket is replaced in one step. Returns the socket's inode.
 */
async function listen(server: Http2Server, { socketPath, mode, owner }: ServeGrpcOptions): Promise<number> {
  const folder = await mkdtemp(join(dirname(socketPath), ".l-"));
  try {
    const path = join(folder, "s");
    server.listen(path);
    await once(server, "listening");
    if (owner !== undefined) await chown(path, owner.uid, owner.gid);
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

interface Closing {
  readonly server: Http2Server;
  readonly sessions: ReadonlySet<ServerHttp2Session>;
  readonly timeoutMs: number;
}

async function closeServer({ server, sessions, timeoutMs }: Closing): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  for (const session of sessions) session.close();
  const timer = setTimeout(() => {
    for (const session of sessions) session.destroy();
  }, timeoutMs);
  await closed;
  clearTimeout(timer);
}

async function removeSocket(socketPath: string, inode: number): Promise<void> {
  const stat = await lstat(socketPath).catch(() => undefined); // Gone already: nothing to remove.
  // A server that was started since has a socket of its own there.
  if (stat?.ino === inode) await unlink(socketPath);
}
