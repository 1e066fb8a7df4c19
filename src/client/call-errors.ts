import { ConnectError } from "@connectrpc/connect";
import { type ErrorCode, errorCodes, LazuliError, permissionDenied, unavailable } from "../errors/index.js";

/** What containerd's errors of a code end with; here the code says it. */
const ENDING =
  /: (canceled|invalid argument|not found|already exists|permission denied|resource exhausted|failed precondition|aborted|out of range|not implemented|internal|unavailable|data loss|unauthenticated)$/;

export interface CallFacts {
  /** What was tried, e.g. `start a task`. */
  readonly action: string;
  /** What it is about: an id, a name, a digest. */
  readonly subject?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Errors below an error that are looked at. */
const CAUSES_MAX = 8;

/** The server's error with its code and message, or UNAVAILABLE `server-unreachable` when there was no answer. */
export function callError(thrown: unknown, address: string, call: CallFacts): LazuliError {
  if (thrown instanceof LazuliError) return thrown;
  if (call.signal?.aborted) return LazuliError.from(call.signal.reason);
  const error = ConnectError.from(thrown);
  const subject = call.subject ?? address;
  const system = systemCodeOf(error);
  if (system === "EACCES" || system === "EPERM") {
    return permissionDenied(`Cannot ${call.action}: no permission for the socket ${address}`, {
      subject: address,
      reason: "server-forbidden",
      hint: "Run the command as root, or as a member of the socket's group",
      cause: thrown,
    });
  }
  // Only what the transport says has a cause; an answer of the service has none.
  if (error.cause !== undefined || isBrokenStream(error)) {
    return unavailable(`Cannot ${call.action}: want an answer from ${address}, got ${error.rawMessage}`, {
      subject: address,
      reason: "server-unreachable",
      hint: "Check that the daemon runs (`systemctl status containerd`, or `lazuli daemon`), and name its socket with --address",
      cause: thrown,
    });
  }
  const code = codeOf(error.code);
  return new LazuliError(code, `Cannot ${call.action}: ${error.rawMessage.replace(ENDING, "")}`, {
    subject,
    reason: `server-${code.toLowerCase().replaceAll("_", "-")}`,
    cause: thrown,
  });
}

/** A stream that ended by a reset has no status of the service, and a code of the transport's in its place. */
function isBrokenStream(error: ConnectError): boolean {
  return /^(http\/2 stream closed|protocol error: missing|read ECONN|connect E)/.test(error.rawMessage);
}

function codeOf(grpc: number): ErrorCode {
  const found = Object.entries(errorCodes).find(([, facts]) => facts.grpc === grpc);
  return (found?.[0] ?? "UNKNOWN") as ErrorCode;
}

function systemCodeOf(error: Error): string {
  let cause: unknown = error;
  for (let depth = 0; cause instanceof Error && depth < CAUSES_MAX; depth += 1) {
    const { code } = cause as NodeJS.ErrnoException;
    if (typeof code === "string") return code;
    cause = cause.cause;
  }
  return "";
}
