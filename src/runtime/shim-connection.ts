import { connect } from "node:net";
import type { DescMessage, DescMethodUnary, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { ConnectError } from "@connectrpc/connect";
import { deferred, linkSignals, withSignal } from "../async/index.js";
import { deadlineExceeded, type ErrorCode, errorCodes, LazuliError, unavailable } from "../errors/index.js";
import { grpcOverSocket } from "../grpc/index.js";
import { connectTtrpc } from "../ttrpc/index.js";
import { type ShimAddress, socketPathOf } from "./bootstrap.js";

export interface ShimCallOptions {
  readonly signal?: AbortSignal | undefined;
  /** Undefined: as long as it takes. */
  readonly timeoutMs: number | undefined;
}

/** A connection to a shim, over either of its protocols. */
export interface ShimConnection {
  /**
   * @throws DEADLINE_EXCEEDED (reason `shim-slow`) with the call's name; UNAVAILABLE (reason `shim-closed`) when the
   *   connection ends first; CANCELED; else what the shim answers (reason `shim-refused`)
   */
  call<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    options: ShimCallOptions,
  ): Promise<MessageShape<O>>;
  /** Settles when the connection has ended. Never rejects. */
  readonly closed: Promise<void>;
  close(): void;
}

export interface ConnectShimOptions {
  readonly address: ShimAddress;
  readonly namespace: string;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

type Wire = Omit<ShimConnection, "call"> & {
  call<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    options: { readonly signal: AbortSignal; readonly timeoutMs: number | undefined },
  ): Promise<MessageShape<O>>;
};

/** Connects to the socket of a shim. @throws UNAVAILABLE, NOT_FOUND … as the socket's errors are; DEADLINE_EXCEEDED */
export async function connectShim(options: ConnectShimOptions): Promise<ShimConnection> {
  const { address, timeoutMs, signal } = options;
  const path = socketPathOf(address.address);
  using limit = linkSignals([signal], timeoutMs);
  const open = address.protocol === "grpc" ? openGrpc : openTtrpc;
  const wire = await named("connect", { timeoutMs, signal }, () =>
    open({ path, namespace: options.namespace, signal: limit.signal }),
  );
  return {
    closed: wire.closed,
    close: wire.close,
    call: async (method, request, callOptions) => {
      using callLimit = linkSignals([callOptions.signal], callOptions.timeoutMs);
      const given = { signal: callLimit.signal, timeoutMs: callOptions.timeoutMs };
      return await named(`${method.parent.typeName}/${method.name}`, callOptions, () =>
        withSignal(wire.call(method, request, given), callLimit.signal),
      );
    },
  };
}

interface OpenOptions {
  readonly path: string;
  readonly namespace: string;
  readonly signal: AbortSignal;
}

async function openTtrpc({ path, namespace, signal }: OpenOptions): Promise<Wire> {
  const client = await connectTtrpc({ path, signal });
  const metadata = { "containerd-namespace-ttrpc": namespace };
  return {
    closed: client.closed,
    close: () => client.close(),
    call: (method, request, given) => client.call(method, request, { ...given, metadata }),
  };
}

/** As long as a timer can be: the end of this connection is the end of the shim. */
const IDLE_MS = 2 ** 31 - 1;

async function openGrpc({ path, namespace, signal }: OpenOptions): Promise<Wire> {
  const closed = deferred<void>();
  const socket = connect(path);
  socket.once("close", () => closed.resolve());
  const connected = new Promise<void>((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("error", reject);
  });
  try {
    await withSignal(connected, signal);
  } catch (thrown) {
    socket.destroy();
    // When the signal came first nobody waits for the connection any more.
    connected.catch(() => undefined);
    throw thrown;
  }
  // The session tells of errors by its calls.
  socket.on("error", () => undefined);
  const connection = grpcOverSocket(path, { openSocket: () => socket, idleConnectionTimeoutMs: IDLE_MS });
  return {
    closed: closed.promise,
    close: () => {
      connection[Symbol.dispose]();
      socket.destroy();
    },
    call: async (method, request, given) => {
      // The session would open a second connection, which can't be had of one socket.
      if (socket.destroyed) throw unavailable("ttrpc: closed", { reason: "shim-closed" });
      const headers = { "containerd-namespace": namespace };
      const answer = connection.transport
        .unary(method, given.signal, given.timeoutMs, headers, request, undefined)
        .then(({ message }) => message);
      const ended = closed.promise.then(() => {
        throw unavailable("ttrpc: closed", { reason: "shim-closed" });
      });
      answer.catch(() => undefined);
      return await Promise.race([answer, ended]);
    },
  };
}

/** Gives what was thrown the name of the call. */
async function named<T>(
  subject: string,
  { timeoutMs, signal }: ShimCallOptions,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    if (signal?.aborted === true) throw LazuliError.from(signal.reason);
    const error = thrown instanceof ConnectError ? ofConnect(thrown) : LazuliError.from(thrown);
    // The shim is told the limit too, and may be the first to say that it is over.
    if (error.code === "DEADLINE_EXCEEDED" && timeoutMs !== undefined) {
      const message = `Cannot call ${subject} of a shim: want an answer within ${timeoutMs} ms, got none: context deadline exceeded`;
      throw deadlineExceeded(message, { subject, reason: "shim-slow", cause: thrown });
    }
    const reason =
      error.reason === "ttrpc-closed" || error.reason === "shim-closed" ? "shim-closed" : "shim-refused";
    throw new LazuliError(error.code, error.message, { subject, reason, cause: thrown });
  }
}

const codesByNumber: ReadonlyMap<number, ErrorCode> = new Map(
  Object.entries(errorCodes).map(([code, facts]) => [facts.grpc, code as ErrorCode]),
);

function ofConnect(error: ConnectError): LazuliError {
  return new LazuliError(codesByNumber.get(error.code) ?? "UNKNOWN", error.rawMessage);
}
