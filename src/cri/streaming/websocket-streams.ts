import type { WebSocket } from "ws";
import { LazuliError } from "../../errors/index.js";
import type { StreamRuntime } from "../contract.js";
import { statusJson, statusText } from "./exit-status.js";
import { runCommand } from "./run-command.js";
import type { CommandRequest, PortRequest } from "./stream-requests.js";
import { WebSocketChannels } from "./websocket-channels.js";

/** Channels of a command. */
const STDIN = 0;
const STDOUT = 1;
const STDERR = 2;
const ERROR = 3;
const RESIZE = 4;

export interface WebSocketStreamsOptions {
  readonly socket: WebSocket;
  readonly runtime: StreamRuntime;
  readonly idleTimeoutMs: number;
}

/** Runs a command for a client that is connected. Never throws. */
export async function serveCommandSocket(
  request: CommandRequest,
  { socket, runtime, idleTimeoutMs }: WebSocketStreamsOptions,
): Promise<void> {
  const channels = new WebSocketChannels(socket, { idleTimeoutMs });
  const hasStderr = request.stderr && !request.isTerminal;
  // An empty message tells the client that all is ready.
  await channels
    .send(request.stdout ? STDOUT : hasStderr ? STDERR : ERROR, Buffer.alloc(0))
    .catch(() => undefined); // Gone: the command sees it.
  await runCommand(
    request,
    {
      stdin: request.stdin ? channels.receive(STDIN) : undefined,
      stdout: request.stdout ? (bytes) => channels.send(STDOUT, bytes) : undefined,
      stderr: hasStderr ? (bytes) => channels.send(STDERR, bytes) : undefined,
      resizes: request.isTerminal ? channels.receive(RESIZE) : undefined,
      finish: async (end) => {
        const status = channels.hasJsonStatus ? statusJson(end) : statusText(end);
        if (status !== "") await channels.send(ERROR, Buffer.from(status));
        channels.close();
      },
      signal: channels.signal,
    },
    runtime,
  );
  channels.close();
}

/** Forwards the ports of the request: for each a channel with data and one for words about what went wrong. */
export async function servePortSocket(
  { podId, ports }: PortRequest,
  { socket, runtime, idleTimeoutMs }: WebSocketStreamsOptions,
): Promise<void> {
  const channels = new WebSocketChannels(socket, { idleTimeoutMs });
  await Promise.all(
    ports.map(async (port, index) => {
      const data = index * 2;
      const number = Buffer.alloc(2);
      number.writeUInt16LE(port);
      const incoming = channels.receive(data);
      try {
        await channels.send(data, number);
        await channels.send(data + 1, number);
        const outgoing = (bytes: Uint8Array): Promise<void> => channels.send(data, bytes);
        await runtime.forwardPort({ podId, port, incoming, outgoing, signal: channels.signal });
      } catch (thrown) {
        const words = `error forwarding port ${port} to pod ${podId}: ${LazuliError.from(thrown).message}`;
        await channels.send(data + 1, Buffer.from(words)).catch(() => undefined); // The client is gone: nobody to tell.
      }
    }),
  );
  channels.close();
}
