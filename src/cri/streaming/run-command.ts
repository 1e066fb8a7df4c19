import type { ProcessStreams, StreamRuntime } from "../contract.js";
import type { CommandEnd } from "./exit-status.js";
import type { CommandRequest } from "./stream-requests.js";
import { terminalSizes } from "./terminal-sizes.js";

/** The ends of a connection for a command, whichever protocol carries them. */
export interface CommandChannels {
  readonly stdin: AsyncIterable<Uint8Array> | undefined;
  readonly stdout: ((bytes: Uint8Array) => Promise<void>) | undefined;
  readonly stderr: ((bytes: Uint8Array) => Promise<void>) | undefined;
  readonly resizes: AsyncIterable<Uint8Array> | undefined;
  /** Tells the client how it ended, closes all channels and then the connection. */
  finish(end: CommandEnd): Promise<void>;
  /** Aborts when the client is gone. */
  readonly signal: AbortSignal;
}

/** Runs what the request asks with these channels, and tells the client its end. Never throws. */
export async function runCommand(
  request: CommandRequest,
  channels: CommandChannels,
  runtime: StreamRuntime,
): Promise<void> {
  const { stdin, stdout, stderr, resizes, signal } = channels;
  const streams: ProcessStreams = {
    stdin,
    stdout,
    stderr,
    resizes: resizes === undefined ? undefined : terminalSizes(resizes),
  };
  const { containerId, isTerminal } = request;
  let end: CommandEnd;
  try {
    if (request.kind === "exec") {
      const { command } = request;
      end = { exitCode: await runtime.exec({ containerId, command, isTerminal, streams, signal }) };
    } else {
      await runtime.attach({ containerId, isTerminal, streams, signal });
      end = { exitCode: 0 };
    }
  } catch (failure) {
    end = { failure };
  }
  // A client that is gone has nobody to tell.
  await channels.finish(end).catch(() => undefined);
}
