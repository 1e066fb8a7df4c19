import type { WebSocket } from "ws";
import { invalidArgument, unavailable } from "../../errors/index.js";
import { ByteQueue } from "./byte-queue.js";

/** Protocols of Kubernetes, the best first: what the channels' messages look like, and what the error channel says. */
export const commandProtocols = [
  "v5.channel.k8s.io",
  "v4.channel.k8s.io",
  "v4.base64.channel.k8s.io",
  "channel.k8s.io",
  "base64.channel.k8s.io",
] as const;
export const portProtocols = ["v4.channel.k8s.io", "v4.base64.channel.k8s.io"] as const;

/** Protocol v5 closes a channel by a message on this one with the channel's number. */
const CLOSE_CHANNEL = 255;
const NORMAL_CLOSURE = 1000;
/** Bytes that wait to be sent; above it writers wait. */
const SEND_BYTES_MAX = 1024 * 1024;
const SEND_POLL_MS = 5;

/** Channels by number over one WebSocket: the first byte (or base64 digit) of each message is the number. */
export class WebSocketChannels {
  readonly #socket: WebSocket;
  readonly #isBase64: boolean;
  readonly #queues = new Map<number, ByteQueue>();
  readonly #gone = new AbortController();
  #idle: NodeJS.Timeout;

  constructor(socket: WebSocket, options: { readonly idleTimeoutMs: number }) {
    this.#socket = socket;
    this.#isBase64 = socket.protocol.includes("base64");
    this.#idle = setTimeout(() => socket.terminate(), options.idleTimeoutMs);
    socket.on("message", (data: Buffer) => this.#onMessage(data));
    // The close that follows tells it.
    socket.on("error", () => undefined);
    socket.on("close", () => this.#onClose());
  }

  /** Aborts when the client is gone. */
  get signal(): AbortSignal {
    return this.#gone.signal;
  }

  get hasJsonStatus(): boolean {
    return this.#socket.protocol.startsWith("v4") || this.#socket.protocol.startsWith("v5");
  }

  /** What the client sends on a channel; on others it is dropped. Ends with the connection, in v5 also before. */
  receive(channel: number): AsyncIterable<Uint8Array> {
    const queue = new ByteQueue({
      onFull: () => this.#socket.pause(),
      onDrained: () => this.#socket.resume(),
    });
    this.#queues.set(channel, queue);
    return queue;
  }

  /** @throws UNAVAILABLE when the client is gone */
  async send(channel: number, bytes: Uint8Array): Promise<void> {
    if (this.#socket.readyState !== this.#socket.OPEN) {
      throw unavailable("Cannot send: the client is gone", { reason: "stream-client-gone" });
    }
    this.#idle.refresh();
    const message = this.#isBase64
      ? Buffer.from(String(channel) + Buffer.from(bytes).toString("base64"), "latin1")
      : Buffer.concat([Buffer.of(channel), bytes]);
    this.#socket.send(message, { binary: !this.#isBase64 });
    while (this.#socket.bufferedAmount > SEND_BYTES_MAX && !this.signal.aborted) {
      await new Promise((resolve) => setTimeout(resolve, SEND_POLL_MS));
    }
  }

  /** What was sent arrives before. */
  close(): void {
    for (const queue of this.#queues.values()) queue.discard();
    this.#socket.close(NORMAL_CLOSURE);
  }

  #onMessage(data: Buffer): void {
    this.#idle.refresh();
    const first = data[0];
    if (first === undefined) return;
    const channel = this.#isBase64 ? first - 0x30 : first;
    if (channel === CLOSE_CHANNEL && this.#socket.protocol.startsWith("v5")) {
      const closed = data[1];
      if (closed !== undefined) this.#queues.get(closed)?.end();
      return;
    }
    const queue = this.#queues.get(channel);
    queue?.push(
      this.#isBase64 ? Buffer.from(data.subarray(1).toString("latin1"), "base64") : data.subarray(1),
    );
  }

  #onClose(): void {
    clearTimeout(this.#idle);
    for (const queue of this.#queues.values()) queue.end();
    this.#gone.abort(unavailable("The client of the stream is gone", { reason: "stream-client-gone" }));
  }
}

/** The protocol to speak with a client; undefined where it asks for none. @throws INVALID_ARGUMENT for others only */
export function chooseProtocol(offered: readonly string[], known: readonly string[]): string | undefined {
  if (offered.length === 0) return undefined;
  const chosen = known.find((one) => offered.includes(one));
  if (chosen === undefined) {
    throw invalidArgument(`Cannot stream: want one of ${known.join(", ")}, got ${offered.join(", ")}`, {
      reason: "stream-protocol-unknown",
    });
  }
  return chosen;
}
