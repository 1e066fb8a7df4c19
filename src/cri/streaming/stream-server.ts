import { once } from "node:events";
import { createServer, type IncomingMessage, type Server } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { WebSocketServer } from "ws";
import { invalidArgument, LazuliError } from "../../errors/index.js";
import type { StreamRuntime, StreamServer } from "../contract.js";
import { serveCommandSpdy, servePortSpdy, spdyCommandProtocols, spdyPortProtocols } from "./spdy-streams.js";
import type { StreamRequest } from "./stream-requests.js";
import { Tokens } from "./tokens.js";
import { chooseProtocol, commandProtocols, portProtocols } from "./websocket-channels.js";
import { serveCommandSocket, servePortSocket } from "./websocket-streams.js";

export interface StreamServerOptions {
  /** Loopback unless the kubelet is elsewhere. */
  readonly address: string;
  /** 0: one that is free. */
  readonly port: number;
  /** PEM; undefined: without TLS. */
  readonly tls: { readonly certificate: string; readonly key: string } | undefined;
  /** A stream on which nothing moves for this long is ended. */
  readonly idleTimeoutMs: number;
  readonly runtime: StreamRuntime;
}

/** Longest message of a client; Kubernetes' send at most 32 KiB. */
const MESSAGE_BYTES_MAX = 1024 * 1024;
const HEADERS_TIMEOUT_MS = 30_000;

/** Serves exec, attach and port-forward to clients that were given a URL. */
export async function startStreamServer(options: StreamServerOptions): Promise<StreamServer> {
  const { address, port, tls } = options;
  const tokens = new Tokens<StreamRequest>();
  const connections = new Set<Duplex>();
  const server: Server =
    tls === undefined ? createServer() : createTlsServer({ cert: tls.certificate, key: tls.key });
  server.headersTimeout = HEADERS_TIMEOUT_MS;
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: MESSAGE_BYTES_MAX,
    perMessageDeflate: false,
    // Chosen before the upgrade; "" for a client that asks for none.
    handleProtocols: (offered, request) => chosenProtocol(request, offered) ?? false,
  });
  server.on("request", (_request, response) => {
    // Kubernetes' clients always ask for an upgrade.
    response
      .writeHead(400, { "content-type": "text/plain" })
      .end("an upgrade to WebSocket or SPDY/3.1 is needed\n");
  });
  server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    connections.add(socket);
    socket.once("close", () => connections.delete(socket));
    socket.on("error", () => socket.destroy());
    const wanted = tokens.take(tokenOf(request));
    if (wanted === undefined || !(request.url ?? "").startsWith(`/${wanted.kind}/`)) {
      refuse(socket, "404 Not Found", "no such stream: it was asked for already, too long ago, or never");
      return;
    }
    try {
      if (/^websocket$/i.test(request.headers.upgrade ?? "")) {
        chosenProtocol(request, undefined);
        const asked = wanted.kind === "portforward" ? withPorts(wanted, request) : wanted;
        sockets.handleUpgrade(request, socket, head, (client) => {
          const parts = { socket: client, runtime: options.runtime, idleTimeoutMs: options.idleTimeoutMs };
          void (asked.kind === "portforward"
            ? servePortSocket(asked, parts)
            : serveCommandSocket(asked, parts));
        });
      } else {
        serveSpdy({ wanted, request, socket, head, options });
      }
    } catch (thrown) {
      refuse(socket, "403 Forbidden", LazuliError.from(thrown).message);
    }
  });
  server.listen(port, address);
  await once(server, "listening");
  const bound = server.address() as AddressInfo;
  const host = bound.family === "IPv6" ? `[${bound.address}]` : bound.address;
  const base = `${tls === undefined ? "http" : "https"}://${host}:${bound.port}`;
  const urlOf = (request: StreamRequest): string => `${base}/${request.kind}/${tokens.put(request)}`;
  return {
    execUrl: (request) => urlOf({ kind: "exec", ...checked(request) }),
    attachUrl: (request) => urlOf({ kind: "attach", ...checked(request) }),
    forwardPortUrl: (request) => urlOf({ kind: "portforward", ...request }),
    close: async () => {
      tokens[Symbol.dispose]();
      for (const socket of connections) socket.destroy();
      server.closeAllConnections();
      if (!server.listening) return;
      server.close();
      await once(server, "close");
    },
  };
}

/** The texts are those of Kubernetes' streaming server. @throws INVALID_ARGUMENT */
function checked<
  Request extends {
    readonly containerId: string;
    readonly isTerminal: boolean;
    readonly stdin: boolean;
    readonly stdout: boolean;
    readonly stderr: boolean;
  },
>(request: Request): Request {
  const { containerId, isTerminal, stdin, stdout, stderr } = request;
  const fail = (message: string): never => {
    throw invalidArgument(message, { subject: containerId, reason: "stream-request-invalid" });
  };
  if (containerId === "") fail("missing required container_id");
  if (isTerminal && stderr) fail("tty and stderr cannot both be true");
  if (!stdin && !stdout && !stderr) fail("one of stdin, stdout, or stderr must be set");
  return request;
}

interface SpdyParts {
  readonly wanted: StreamRequest;
  readonly request: IncomingMessage;
  readonly socket: Duplex;
  readonly head: Buffer;
  readonly options: StreamServerOptions;
}

function serveSpdy({ wanted, request, socket, head, options }: SpdyParts): void {
  if (!/^spdy\/3\.1$/i.test(request.headers.upgrade ?? "")) {
    throw invalidArgument(
      `Cannot stream: want an upgrade to WebSocket or SPDY/3.1, got ${request.headers.upgrade}`,
    );
  }
  const offered = listOf(request.headers["x-stream-protocol-version"]);
  const known = wanted.kind === "portforward" ? spdyPortProtocols : spdyCommandProtocols;
  // Clients without a list are of the first version.
  const protocol = chooseProtocol(offered, known) ?? known.at(-1)!;
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: ${protocol}\r\n\r\n`,
  );
  const { runtime, idleTimeoutMs } = options;
  const parts = { socket, head, protocol, runtime, idleTimeoutMs };
  void (wanted.kind === "portforward" ? servePortSpdy(wanted, parts) : serveCommandSpdy(wanted, parts));
}

function tokenOf(request: IncomingMessage): string {
  return /^\/(?:exec|attach|portforward)\/([A-Za-z0-9_-]+)(?:\?|$)/.exec(request.url ?? "")?.[1] ?? "";
}

/** @throws INVALID_ARGUMENT when the client offers only what we do not speak */
function chosenProtocol(
  request: IncomingMessage,
  offered: ReadonlySet<string> | undefined,
): string | undefined {
  const names = offered === undefined ? listOf(request.headers["sec-websocket-protocol"]) : [...offered];
  const known = (request.url ?? "").startsWith("/portforward/") ? portProtocols : commandProtocols;
  return chooseProtocol(names, known);
}

/** A WebSocket client names its ports in the URL where the request did not. @throws INVALID_ARGUMENT for none at all */
function withPorts(
  wanted: Extract<StreamRequest, { kind: "portforward" }>,
  request: IncomingMessage,
): Extract<StreamRequest, { kind: "portforward" }> {
  const named = new URL(request.url ?? "/", "http://stream").searchParams.getAll("port");
  if (named.length === 0 && wanted.ports.length > 0) return wanted;
  const ports = named
    .flatMap((one) => one.split(","))
    .map(Number)
    .filter((one) => Number.isInteger(one) && one > 0 && one <= 0xffff);
  if (ports.length === 0)
    throw invalidArgument('query parameter "port" is required', { reason: "port-missing" });
  return { ...wanted, ports };
}

function listOf(header: string | string[] | undefined): string[] {
  return (Array.isArray(header) ? header.join(",") : (header ?? ""))
    .split(",")
    .map((one) => one.trim())
    .filter((one) => one !== "");
}

function refuse(socket: Duplex, status: string, words: string): void {
  const body = `${words}\n`;
  socket.end(
    `HTTP/1.1 ${status}\r\nContent-Type: text/plain\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
}
