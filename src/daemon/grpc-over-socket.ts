import { connect } from "node:net";
import type { Transport } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";

/** Megabytes that wait to be sent on one connection; beyond Node's own limit of 10, every other call of it is refused. */
const SESSION_MEMORY_MAX = 256;
/** Longest message that is taken: containerd's own limit. */
const MESSAGE_BYTES_MAX = 16 * 1024 * 1024;

export interface GrpcConnection extends Disposable {
  readonly transport: Transport;
}

/** A gRPC client on a Unix socket. Connects at the first call, and again after a break; disposing ends all calls. */
export function grpcOverSocket(address: string): GrpcConnection {
  const baseUrl = "http://localhost";
  const nodeOptions = {
    createConnection: () => connect({ path: address }),
    maxSessionMemory: SESSION_MEMORY_MAX,
  };
  const sessionManager = new Http2SessionManager(baseUrl, {}, nodeOptions);
  const transport = createGrpcTransport({
    baseUrl,
    nodeOptions,
    sessionManager,
    readMaxBytes: MESSAGE_BYTES_MAX,
  });
  return { transport, [Symbol.dispose]: () => sessionManager.abort() };
}
