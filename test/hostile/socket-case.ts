import { connect } from "node:http2";
import { connect as connectSocket } from "node:net";
import type { DescService } from "@bufbuild/protobuf";
import { type Client, Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";

/** One request to the daemon's socket, and the code that it ends with. */
export interface SocketCase {
  readonly group: string;
  readonly name: string;
  readonly run: (socket: Socket) => Promise<unknown>;
  /** "ok", a code's name, or what else a raw request ends with. */
  readonly wanted: string;
}

export type SocketRow = readonly [name: string, run: SocketCase["run"], wanted: string];

export const socketCases = (group: string, rows: readonly SocketRow[]): SocketCase[] =>
  rows.map(([name, run, wanted]) => ({ group, name, run, wanted }));

const RAW_TIMEOUT_MS = 20_000;

/** The daemon, as a stranger on its socket reaches it. */
export class Socket {
  readonly #path: string;
  readonly #transport: Transport;

  constructor(path: string, transport: Transport) {
    this.#path = path;
    this.#transport = transport;
  }

  client<Service extends DescService>(service: Service): Client<Service> {
    return createClient(service, this.#transport);
  }

  /** Sends bytes as the body of a call, and gives the status that comes back, or how the stream ended. */
  async raw(method: string, body: Uint8Array, more: RawOptions = {}): Promise<string> {
    const session = connect("http://localhost", { createConnection: () => connectSocket(this.#path) });
    try {
      return await new Promise<string>((resolve) => {
        session.on("error", () => resolve("broken"));
        const stream = session.request({
          ":method": "POST",
          ":path": `/${method}`,
          "content-type": "application/grpc",
          te: "trailers",
          ...more.headers,
        });
        let status: unknown;
        const note = (headers: Record<string, unknown>): void => {
          status =
            headers["grpc-status"] ?? status ?? (headers[":status"] === 200 ? undefined : headers[":status"]);
        };
        stream.on("response", note);
        stream.on("trailers", note);
        stream.on("error", () => {});
        stream.on("close", () => resolve(status === undefined ? "reset" : wordOf(status)));
        stream.setTimeout(RAW_TIMEOUT_MS, () => resolve("hangs"));
        stream.resume();
        if (more.isCut === true) stream.write(body, () => stream.close());
        else stream.end(body);
      });
    } finally {
      session.destroy();
    }
  }

  /** Bytes of no HTTP, until the other side ends it. */
  async bytes(bytes: Uint8Array): Promise<string> {
    const socket = connectSocket(this.#path);
    return await new Promise<string>((resolve) => {
      socket.on("error", () => {});
      socket.on("close", () => resolve("closed"));
      socket.setTimeout(RAW_TIMEOUT_MS, () => {
        socket.destroy();
        resolve("hangs");
      });
      socket.resume();
      socket.end(bytes);
    });
  }
}

export interface RawOptions {
  readonly headers?: Readonly<Record<string, string>>;
  /** The stream is reset behind the bytes. */
  readonly isCut?: boolean;
}

function wordOf(status: unknown): string {
  const code = Number(status);
  return code === 0 ? "ok" : (Code[code] ?? `status ${String(status)}`);
}

/** What a case ends with. */
export async function socketVerdict({ run }: SocketCase, socket: Socket): Promise<string> {
  try {
    const value = await run(socket);
    return typeof value === "string" ? value : "ok";
  } catch (error) {
    if (!(error instanceof ConnectError)) throw error;
    return Code[error.code];
  }
}

/** A frame of gRPC: a flag, the length that it claims, and bytes. */
export function frame(
  bytes: Uint8Array,
  claim: { readonly flag?: number; readonly length?: number } = {},
): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt8(claim.flag ?? 0, 0);
  head.writeUInt32BE(claim.length ?? bytes.length, 1);
  return Buffer.concat([head, bytes]);
}

/** All that a stream gives, up to an end. */
export async function counted(values: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of values);
}
