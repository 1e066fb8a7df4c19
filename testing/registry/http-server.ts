import {
  createServer as createHttpServer,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import type { Certificate } from "./authority.js";

export interface ListenOptions {
  readonly tls?: Certificate | undefined;
  /** PEM of the authority whose client certificates are required. */
  readonly clientAuthority?: string | undefined;
  readonly port?: number | undefined;
  readonly handle: (request: IncomingMessage, response: ServerResponse, signal: AbortSignal) => Promise<void>;
}

export interface HttpServer {
  readonly port: number;
  /** Connections that are open now. */
  readonly connections: number;
  stop(): Promise<void>;
}

/** An HTTP or HTTPS server on 127.0.0.1 that can be stopped in the middle of anything. */
export async function listen(options: ListenOptions): Promise<HttpServer> {
  const controller = new AbortController();
  const sockets = new Set<Socket>();
  const onRequest = (request: IncomingMessage, response: ServerResponse): void => {
    // A script that ends the connection ends the handler too; there is nobody to tell.
    options.handle(request, response, controller.signal).catch(() => request.socket.destroy());
  };
  const server: Server =
    options.tls === undefined
      ? createHttpServer(onRequest)
      : createHttpsServer(
          {
            cert: options.tls.certificate,
            key: options.tls.key,
            ...(options.clientAuthority === undefined
              ? {}
              : { ca: options.clientAuthority, requestCert: true, rejectUnauthorized: true }),
          },
          onRequest,
        );
  server.keepAliveTimeout = 60_000;
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    socket.on("error", () => undefined);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.port ?? 0, "127.0.0.1", resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    get connections() {
      return sockets.size;
    },
    stop: async () => {
      controller.abort();
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
