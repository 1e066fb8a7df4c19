import {
  deadlineExceeded,
  failedPrecondition,
  LazuliError,
  notFound,
  outOfRange,
  permissionDenied,
  unauthenticated,
  unavailable,
} from "../errors/index.js";

/**
 * What a failed try means: `again` may go better next time at the same host, `elsewhere` will not, but another host
 * may have it. Reasons that are not in the table end the whole operation.
 */
const verdicts = {
  "connect-failed": "again",
  "connect-timeout": "again",
  "connection-broken": "again",
  "body-short": "again",
  stalled: "again",
  "too-slow": "again",
  "response-invalid": "again",
  "request-timeout": "again",
  "too-many-requests": "again",
  "server-error": "again",
  "content-range-wrong": "again",
  "multipart-wrong": "again",
  "token-server-error": "again",
  "digest-mismatch": "elsewhere",
  "not-found": "elsewhere",
  forbidden: "elsewhere",
  unauthorized: "elsewhere",
  "token-refused": "elsewhere",
  "token-invalid": "elsewhere",
  "realm-refused": "elsewhere",
  "tls-failed": "elsewhere",
  "address-refused": "elsewhere",
  "redirect-refused": "elsewhere",
  "redirect-limit": "elsewhere",
  "content-encoding": "elsewhere",
  "ranges-unsupported": "elsewhere",
  "range-not-satisfiable": "elsewhere",
  "blob-size-wrong": "elsewhere",
  "blob-size-unknown": "elsewhere",
  "not-a-blob": "elsewhere",
  "too-large": "elsewhere",
  "unexpected-status": "elsewhere",
} as const satisfies Record<string, "again" | "elsewhere">;

export type FailureReason = keyof typeof verdicts;

export function verdictOf(error: unknown): "again" | "elsewhere" | undefined {
  if (!(error instanceof LazuliError) || error.reason === undefined) return undefined;
  return Object.hasOwn(verdicts, error.reason) ? verdicts[error.reason as FailureReason] : undefined;
}

/** The typed error of an HTTP status that is not an answer to what was asked. */
export function statusFailure(options: {
  readonly status: number;
  readonly host: string;
  readonly subject: string;
  /** What was tried, for the message. */
  readonly action?: "read" | "push";
  readonly wanted?: string;
}): LazuliError {
  const { status, host, subject, action = "read", wanted = "200 or 206" } = options;
  const direction = action === "read" ? "from" : "to";
  const message = `Cannot ${action} "${subject}" ${direction} ${host}: want status ${wanted}, got ${status}`;
  const facts = (reason: FailureReason, hint?: string) =>
    hint === undefined ? { subject, reason } : { subject, reason, hint };
  if (status === 401) return unauthenticated(message, facts("unauthorized", `Log in to ${host}`));
  if (status === 403) return permissionDenied(message, facts("forbidden", `Check the rights at ${host}`));
  if (status === 404 || status === 410) return notFound(message, facts("not-found"));
  if (status === 408) return deadlineExceeded(message, facts("request-timeout"));
  if (status === 416) return outOfRange(message, facts("range-not-satisfiable"));
  if (status === 425 || status === 429) return unavailable(message, facts("too-many-requests"));
  if (status >= 500 && status !== 501 && status !== 505) return unavailable(message, facts("server-error"));
  return failedPrecondition(message, facts("unexpected-status"));
}

const connectCodes = new Set([
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "EADDRNOTAVAIL",
  "ENETDOWN",
]);
const timeoutCodes = new Set(["UND_ERR_CONNECT_TIMEOUT", "ETIMEDOUT"]);
const tlsCodes =
  /^(ERR_TLS_|ERR_SSL_|CERT_|EPROTO$|.*SELF_SIGNED_CERT|UNABLE_TO_|HOSTNAME_MISMATCH$|INVALID_CA$|INVALID_PURPOSE$)/;
const parserCodes = /^(HPE_|HTTPParserError$|UND_ERR_HEADERS_OVERFLOW|UND_ERR_INVALID|UND_ERR_RES_)/;

/** The typed error of a request that the network or the peer broke. */
export function transportFailure(thrown: unknown, host: string): LazuliError {
  if (thrown instanceof LazuliError) return thrown;
  const code =
    thrown instanceof Error ? String((thrown as NodeJS.ErrnoException).code ?? thrown.name) : "unknown";
  // The parser's error carries the bytes that it could not read, and those may be a secret.
  const cause = parserCodes.test(code) ? undefined : thrown;
  const make = (reason: FailureReason, hint?: string): LazuliError =>
    unavailable(`Cannot finish the request to ${host}: want an answer, got ${code}`, {
      subject: host,
      reason,
      cause,
      ...(hint === undefined ? {} : { hint }),
    });
  if (connectCodes.has(code)) return make("connect-failed", `Check that ${host} is up and reachable`);
  if (timeoutCodes.has(code)) return make("connect-timeout", `Check that ${host} is up and reachable`);
  if (tlsCodes.test(code))
    return make("tls-failed", `Check the certificate of ${host} and "ca" in its hosts.toml`);
  if (parserCodes.test(code)) return make("response-invalid");
  return make("connection-broken");
}
