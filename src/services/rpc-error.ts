import { type Code, ConnectError } from "@connectrpc/connect";
import { type ErrorCode, errorCodes, LazuliError } from "../errors/index.js";
import { log } from "../observe/index.js";

/** What containerd's errors of a kind end with (errdefs); clients cut it off again, and some look for it. */
const endings: Readonly<Partial<Record<ErrorCode, string>>> = {
  INVALID_ARGUMENT: "invalid argument",
  NOT_FOUND: "not found",
  ALREADY_EXISTS: "already exists",
  PERMISSION_DENIED: "permission denied",
  RESOURCE_EXHAUSTED: "resource exhausted",
  FAILED_PRECONDITION: "failed precondition",
  ABORTED: "aborted",
  OUT_OF_RANGE: "out of range",
  UNIMPLEMENTED: "not implemented",
  INTERNAL: "internal",
  UNAVAILABLE: "unavailable",
  DATA_LOSS: "data loss",
  UNAUTHENTICATED: "unauthenticated",
};

/** Turns whatever was thrown into what goes over the wire: the code, and a message as containerd's own have it. */
export function rpcError(thrown: unknown): ConnectError {
  if (thrown instanceof ConnectError) return thrown;
  const error = LazuliError.from(thrown);
  if (error.code === "UNKNOWN" || error.code === "INTERNAL") {
    log.error("A call failed in a way that it should not", { error: error.message, reason: error.reason });
  }
  const ending = endings[error.code];
  const isTold = ending === undefined || error.message === ending || error.message.endsWith(`: ${ending}`);
  const message = isTold ? error.message : `${error.message}: ${ending}`;
  return new ConnectError(message, errorCodes[error.code].grpc as Code, undefined, undefined, thrown);
}

/** Runs a handler; what it throws goes over the wire as `rpcError` has it. */
export async function answer<Result>(handler: () => Promise<Result>): Promise<Result> {
  try {
    return await handler();
  } catch (thrown) {
    throw rpcError(thrown);
  }
}
