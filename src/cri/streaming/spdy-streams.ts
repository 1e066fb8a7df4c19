import type { Duplex } from "node:stream";
import { deadlineExceeded, LazuliError } from "../../errors/index.js";
import { log } from "../../observe/index.js";
import type { StreamRuntime } from "../contract.js";
import { statusJson, statusText } from "./exit-status.js";
import { runCommand } from "./run-command.js";
import { SpdySession, type SpdyStream } from "./spdy-session.js";
import type { CommandRequest, PortRequest } from "./stream-requests.js";

/** Protocols of Kubernetes over SPDY, the best first. */
export const spdyCommandProtocols = [
  "v4.channel.k8s.io",
  "v3.channel.k8s.io",
  "v2.channel.k8s.io",
  "channel.k8s.io",
] as const;
export const spdyPortProtocols = ["portforward.k8s.io"] as const;

/** Longest wait for a client to open the streams that it asked for. */
const OPEN_TIMEOUT_MS = 30_000;
/** Pairs of streams whose second one is still to come; one more is refused. */
const PAIRS_MAX = 100;

export interface SpdyStreamsOptions {
  readonly socket: Duplex;
  readonly head: Buffer;
  /** Of the lists above. */
  readonly protocol: string;
  readonly runtime: StreamRuntime;
  readonly idleTimeoutMs: number;
}

/** Runs a command for a client that was upgraded. Never throws. */
export async function serveCommandSpdy(request: CommandRequest, options: SpdyStreamsOptions): Promise<void> {
  const { protocol, runtime } = options;
  const hasStderr = request.stderr && !request.isTerminal;
  const hasResize = request.isTerminal && (protocol.startsWith("v4") || protocol.startsWith("v3"));
  const wanted = new Set(["error"]);
  if (request.stdin) wanted.add("stdin");
  if (request.stdout) wanted.add("stdout");
  if (hasStderr) wanted.add("stderr");
  if (hasResize) wanted.add("resize");
  const streams = new Map<string, SpdyStream>();
  let onComplete = (): void => undefined;
  const session = new SpdySession({
    ...options,
    onStream: (stream) => {
      const type = stream.headers.get("streamtype") ?? "";
      if (!wanted.has(type) || streams.has(type)) return false;
      streams.set(type, stream);
      if (streams.size === wanted.size) onComplete();
      return true;
    },
  });
  try {
    await new Promise<void>((resolve, reject) => {
      onComplete = resolve;
      if (streams.size === wanted.size) resolve();
      session.signal.addEventListener("abort", () => reject(session.signal.reason), { once: true });
      setTimeout(() => reject(tooSlow()), OPEN_TIMEOUT_MS).unref();
    });
  } catch (thrown) {
    log.debug("Ended a stream connection", { error: LazuliError.from(thrown).message });
    session.close();
    return;
  }
  const [stdin, stdout, stderr, resize] = ["stdin", "stdout", "stderr", "resize"].map((one) =>
    streams.get(one),
  );
  await runCommand(
    request,
    {
      stdin: stdin?.incoming,
      stdout: stdout && ((bytes) => stdout.write(bytes)),
      stderr: stderr && ((bytes) => stderr.write(bytes)),
      resizes: resize?.incoming,
      finish: async (end) => {
        const status = protocol.startsWith("v4") ? statusJson(end) : statusText(end);
        await streams.get("error")!.write(Buffer.from(status));
        for (const stream of streams.values()) stream.end();
      },
      signal: session.signal,
    },
    runtime,
  );
  session.close();
}

/**
 * Forwards ports for a client that was upgraded: for each connection through it the client opens a pair of streams with
 * one request id. Resolves when the client is gone. Never throws.
 */
export async function servePortSpdy({ podId }: PortRequest, options: SpdyStreamsOptions): Promise<void> {
  const pairs = new Map<string, { data?: SpdyStream; error?: SpdyStream }>();
  const session = new SpdySession({
    ...options,
    onStream: (stream) => {
      const type = stream.headers.get("streamtype");
      const port = Number(stream.headers.get("port"));
      if ((type !== "data" && type !== "error") || !Number.isInteger(port) || port < 1 || port > 0xffff)
        return false;
      // Clients of old give no id: their pairs come one after the other.
      const id = stream.headers.get("requestid") ?? `port ${port}`;
      const pair = { ...pairs.get(id), [type]: stream };
      if (pair.data === undefined || pair.error === undefined) {
        if (pairs.size >= PAIRS_MAX) return false;
        pairs.set(id, pair);
        return true;
      }
      pairs.delete(id);
      void forward(podId, port, pair.data, pair.error, { runtime: options.runtime, signal: session.signal });
      return true;
    },
  });
  await new Promise<void>((resolve) => {
    session.signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

async function forward(
  podId: string,
  port: number,
  data: SpdyStream,
  error: SpdyStream,
  { runtime, signal }: { readonly runtime: StreamRuntime; readonly signal: AbortSignal },
): Promise<void> {
  try {
    const outgoing = (bytes: Uint8Array): Promise<void> => data.write(bytes);
    await runtime.forwardPort({ podId, port, incoming: data.incoming, outgoing, signal });
  } catch (thrown) {
    const words = `error forwarding port ${port} to pod ${podId}: ${LazuliError.from(thrown).message}`;
    await error.write(Buffer.from(words)).catch(() => undefined); // The client is gone: nobody to tell.
  }
  data.end();
  error.end();
}

function tooSlow(): LazuliError {
  return deadlineExceeded(
    `Cannot stream: want all streams of the client within ${OPEN_TIMEOUT_MS / 1000} s`,
    {
      reason: "stream-client-slow",
    },
  );
}
