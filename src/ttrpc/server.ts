import type { Socket } from "node:net";
import { type Listener, listenOnSocket } from "./listen.js";
import { serveTtrpcOver, type TtrpcConnection } from "./server-connection.js";
import type { TtrpcService } from "./service.js";

/** Connections at once; a further one is closed as it comes. Each container may have a shim of its own. */
const CONNECTIONS_MAX = 8192;

export interface ServeTtrpcOptions {
  /** Its folder exists. Who may connect is a matter of `mode` and of the folder's: there is no check of the peer. */
  readonly socketPath: string;
  readonly mode: number;
  readonly services: readonly TtrpcService[];
  /** Closes the server when it aborts. */
  readonly signal?: AbortSignal | undefined;
}

export interface TtrpcServer {
  /** Ends all connections, waits for the handlers, and removes the socket. Safe to call twice. */
  close(): Promise<void>;
}

/** Serves ttrpc on a Unix socket. @throws FAILED_PRECONDITION when somebody serves there already */
export async function serveTtrpc(options: ServeTtrpcOptions): Promise<TtrpcServer> {
  const { socketPath, mode, services, signal } = options;
  signal?.throwIfAborted();
  const connections = new Set<TtrpcConnection>();
  const onConnection = (socket: Socket): void => {
    if (connections.size >= CONNECTIONS_MAX) {
      socket.destroy();
      return;
    }
    const connection = serveTtrpcOver(socket, services);
    connections.add(connection);
    void connection.closed.then(() => connections.delete(connection));
  };
  const listener = await listenOnSocket({ socketPath, mode, onConnection });
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => {
    signal?.removeEventListener("abort", onAbort);
    closing ??= closeAll(listener, connections);
    return closing;
  };
  const onAbort = (): void => {
    // Who aborts has nobody to tell; `close` gives the same promise to those who ask.
    close().catch(() => undefined);
  };
  signal?.addEventListener("abort", onAbort, { once: true });
  if (signal?.aborted) await close();
  return { close };
}

async function closeAll(listener: Listener, connections: ReadonlySet<TtrpcConnection>): Promise<void> {
  const open = [...connections];
  for (const connection of open) connection.close();
  await listener.close();
  await Promise.all(open.map(({ closed }) => closed));
}
