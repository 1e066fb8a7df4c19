import { connect, type Socket } from "node:net";
import type { Transport } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";

/** Megabytes that wait to be sent on one connection; beyond Node's own limit of 10, every other call of it is refused. */
const SESSION_MEMORY_MAX = 256;
/** Longest message that is taken: containerd's own limit. */
const MESSAGE_BYTES_MAX = 16 * 1024 * 1024;

export interface GrpcOptions {
  /**
   * For what may be large: requests are as bounded as answers, and nothing is compressed, since no link is faster than a
   * socket of this machine.
   */
  readonly isBulk?: boolean;
  /** In place of a new connection to the address. */
  readonly openSocket?: () => Socket;
  /** When a connection without calls ends; the library's own unless given. */
  readonly idleConnectionTimeoutMs?: number;
}

export interface GrpcConnection extends Disposable {
  readonly transport: Transport;
  /** Of all calls: for who wants to connect before the first, or to know why it can't. */
  readonly session: Http2SessionManager;
}

/** A gRPC client on a Unix socket. Connects at the first call, and again after a break; disposing ends all calls. */
export function grpcOverSocket(address: string, options: GrpcOptions = {}): GrpcConnection {
  const { isBulk = false, openSocket, idleConnectionTimeoutMs } = options;
  const baseUrl = "http://localhost";
  const nodeOptions = {
    createConnection: openSocket ?? (() => connect({ path: address })),
    maxSessionMemory: SESSION_MEMORY_MAX,
  };
  const idle = idleConnectionTimeoutMs === undefined ? {} : { idleConnectionTimeoutMs };
  const session = new Http2SessionManager(baseUrl, idle, nodeOptions);
  const transport = createGrpcTransport({
    baseUrl,
    nodeOptions,
    sessionManager: session,
    readMaxBytes: MESSAGE_BYTES_MAX,
    ...(isBulk ? { writeMaxBytes: MESSAGE_BYTES_MAX, acceptCompression: [] } : {}),
  });
  return { transport, session, [Symbol.dispose]: () => session.abort() };
}
