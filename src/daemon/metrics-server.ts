import { createServer, type Server } from "node:http";
import { unavailable } from "../errors/index.js";
import type { Metrics } from "./metrics.js";
import { removeStaleSocket } from "./stale-socket.js";

/** A scraper opens one connection; beyond this, further ones are dropped. */
const CONNECTIONS_MAX = 32;
const REQUEST_TIMEOUT_MS = 10_000;

export interface MetricsServerOptions {
  /** host:port, or the absolute path of a Unix socket. */
  readonly address: string;
  readonly metrics: Metrics;
  /** Whether the node can serve; `/healthz` answers 503 when not. */
  readonly isReady: () => boolean;
}

/** Serves `/metrics` and `/healthz` over plain HTTP until it is closed. @throws UNAVAILABLE when it can't listen */
export async function serveMetrics(options: MetricsServerOptions): Promise<AsyncDisposable> {
  const server = createServer({ requestTimeout: REQUEST_TIMEOUT_MS }, (request, response) => {
    if (request.method !== "GET" && request.method !== "HEAD") response.writeHead(405).end();
    else if (request.url === "/metrics") {
      void options.metrics.page().then((page) => {
        response.writeHead(200, { "content-type": "text/plain; version=0.0.4; charset=utf-8" });
        response.end(page);
      });
    } else if (request.url === "/healthz") {
      const isReady = options.isReady();
      response.writeHead(isReady ? 200 : 503).end(isReady ? "ok\n" : "not ready\n");
    } else response.writeHead(404).end();
  });
  server.maxConnections = CONNECTIONS_MAX;
  await listen(server, options.address);
  return {
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

async function listen(server: Server, address: string): Promise<void> {
  const isPath = address.startsWith("/");
  if (isPath) await removeStaleSocket(address);
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) =>
      reject(
        unavailable(`Cannot serve metrics: want to listen on ${address}, got ${cause.message}`, {
          subject: address,
          reason: "metrics-listen",
          hint: "Change [metrics] address, or end what listens there",
          cause,
        }),
      ),
    );
    if (isPath) server.listen({ path: address }, resolve);
    else {
      const colon = address.lastIndexOf(":");
      const host = address.slice(0, colon).replace(/^\[|\]$/g, "");
      server.listen({ host, port: Number(address.slice(colon + 1)) }, resolve);
    }
  });
}
