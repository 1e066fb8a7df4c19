import { Code, ConnectError } from "@connectrpc/connect";
import { deadlineExceeded, type ErrorCode, errorCodes, LazuliError, unavailable } from "../errors/index.js";

/** What containerd's errors of a code end with; here the code says it. */
const ENDING =
  /: (canceled|invalid argument|not found|already exists|permission denied|resource exhausted|failed precondition|aborted|out of range|not implemented|internal|unavailable|data loss|unauthenticated)$/;

export interface ProxyCall {
  /** What was tried, e.g. `read a blob`. */
  readonly action: string;
  /** A digest or a ref. */
  readonly subject?: string;
  readonly signal?: AbortSignal | undefined;
}

/** An error of the service with its code, or UNAVAILABLE when there was no answer. */
export function proxyError(thrown: unknown, socketPath: string, call: ProxyCall): LazuliError {
  if (thrown instanceof LazuliError) return thrown;
  if (call.signal?.aborted) return LazuliError.from(call.signal.reason);
  const error = ConnectError.from(thrown);
  if (error.code === Code.DeadlineExceeded) return serviceSlow(socketPath, call);
  const subject = call.subject ?? socketPath;
  // Only what the transport says has a cause; an answer of the service has none.
  if (error.cause !== undefined || isBrokenStream(error)) {
    return unavailable(`Cannot ${call.action}: want an answer from ${socketPath}, got ${error.rawMessage}`, {
      subject,
      reason: "content-service-unreachable",
      hint: "Check that the service runs and that the address names its socket",
      cause: thrown,
    });
  }
  const code = codeOf(error.code);
  return new LazuliError(code, error.rawMessage.replace(ENDING, ""), {
    subject,
    reason: `content-service-${code.toLowerCase().replaceAll("_", "-")}`,
    cause: thrown,
  });
}

/** The service took a call and did not answer. */
export function serviceSlow(socketPath: string, { action, subject = socketPath }: ProxyCall): LazuliError {
  return deadlineExceeded(`Cannot ${action}: want an answer from ${socketPath} in time, got none`, {
    subject,
    reason: "content-service-slow",
    hint: "Look at the service behind that socket: it takes calls and does not answer them",
  });
}

/** A stream that ended by a reset has no status of the service, and this code in its place. */
function isBrokenStream(error: ConnectError): boolean {
  return (
    error.code === Code.Internal && /^(http\/2 stream closed|protocol error: missing)/.test(error.rawMessage)
  );
}

function codeOf(grpc: number): ErrorCode {
  const found = Object.entries(errorCodes).find(([, facts]) => facts.grpc === grpc);
  return (found?.[0] ?? "UNKNOWN") as ErrorCode;
}
