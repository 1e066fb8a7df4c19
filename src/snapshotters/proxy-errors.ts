import { Code, ConnectError } from "@connectrpc/connect";
import { deadlineExceeded, type ErrorCode, errorCodes, LazuliError, unavailable } from "../errors/index.js";

/** What containerd's errors of a code end with; here the code says it. */
const ENDING =
  /: (canceled|invalid argument|not found|already exists|permission denied|resource exhausted|failed precondition|aborted|out of range|not implemented|internal|unavailable|data loss|unauthenticated)$/;

/** What is behind a socket. */
export interface ProxyPeer {
  readonly address: string;
  /** In reasons and for operators. */
  readonly kind: "snapshotter" | "differ" | "sandboxer";
}

const UNREACHABLE = "-unreachable";

export interface ProxyCall {
  /** What was tried, e.g. `commit a snapshot`. */
  readonly action: string;
  /** A key or a name. */
  readonly subject?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** An error of the snapshotter with its code and text; UNAVAILABLE or DEADLINE_EXCEEDED when it gave no answer. */
export function proxyError(thrown: unknown, peer: ProxyPeer, call: ProxyCall): LazuliError {
  if (thrown instanceof LazuliError) return thrown;
  const { address, kind } = peer;
  if (call.signal?.aborted) return LazuliError.from(call.signal.reason);
  const error = ConnectError.from(thrown);
  if (error.code === Code.DeadlineExceeded) {
    return deadlineExceeded(`Cannot ${call.action}: want an answer from ${address} in time, got none`, {
      subject: call.subject ?? address,
      reason: `${kind}-slow`,
      hint: `Look at the ${kind} behind that socket: it takes calls and does not answer them`,
      cause: thrown,
    });
  }
  // Only what the transport says has a cause; an answer of the service has none.
  if (error.cause !== undefined || isBrokenStream(error)) {
    return unreachable(peer, call, { message: error.rawMessage, cause: thrown });
  }
  const code = codeOf(error.code);
  return new LazuliError(code, error.rawMessage.replace(ENDING, ""), {
    subject: call.subject ?? address,
    reason: `${kind}-${code.toLowerCase().replaceAll("_", "-")}`,
    ...(code === "UNIMPLEMENTED" ? { hint: `Check that ${address} is the socket of a ${kind}` } : {}),
    cause: thrown,
  });
}

export function unreachable(
  { address, kind }: ProxyPeer,
  call: ProxyCall,
  failure: { readonly message: string; readonly cause: unknown },
): LazuliError {
  return unavailable(`Cannot ${call.action}: want an answer from ${address}, got ${failure.message}`, {
    subject: call.subject ?? address,
    reason: `${kind}${UNREACHABLE}`,
    hint: `Start the ${kind} that serves there, or correct the address in [proxy_plugins]`,
    cause: failure.cause,
  });
}

export function isUnreachable(error: LazuliError): boolean {
  return error.reason?.endsWith(UNREACHABLE) === true;
}

/** A stream that ended by a reset has no status of the service, and in its place a code that the transport chose. */
function isBrokenStream(error: ConnectError): boolean {
  return /^(http\/2 stream closed|protocol error: missing)/.test(error.rawMessage);
}

function codeOf(grpc: number): ErrorCode {
  const found = Object.entries(errorCodes).find(([, facts]) => facts.grpc === grpc);
  return (found?.[0] ?? "UNKNOWN") as ErrorCode;
}
