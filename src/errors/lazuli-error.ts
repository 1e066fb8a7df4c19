import { type CodeFacts, type ErrorCode, errorCodes } from "./codes.js";
import { redact } from "./redact.js";

/** What an error carries beside its message. */
export interface ErrorOptions {
  /** The thing it is about: a digest, a snapshot key, a path, a host. */
  readonly subject?: string;
  /** The next step that an operator can take. */
  readonly hint?: string;
  /** A stable word for metrics and `explain`, e.g. `toc-digest-mismatch`. */
  readonly reason?: string;
  readonly cause?: unknown;
}

/** The only error class of the project. Match on `code` (and `reason`), never on the message. */
export class LazuliError extends Error {
  readonly code: ErrorCode;
  readonly subject: string | undefined;
  readonly hint: string | undefined;
  readonly reason: string | undefined;

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(redact(message), options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "LazuliError";
    this.code = code;
    this.subject = options.subject === undefined ? undefined : redact(options.subject);
    this.hint = options.hint;
    this.reason = options.reason;
  }

  get facts(): CodeFacts {
    return errorCodes[this.code];
  }

  /** Turns whatever was thrown into a LazuliError. Used at three borders only: RPC, FUSE, command line. */
  static from(thrown: unknown): LazuliError {
    if (thrown instanceof LazuliError) return thrown;
    if (thrown instanceof Error && thrown.name === "AbortError") {
      return new LazuliError("CANCELED", "The operation was cancelled", { cause: thrown });
    }
    if (thrown instanceof Error && thrown.name === "TimeoutError") {
      return new LazuliError("DEADLINE_EXCEEDED", "The operation took too long", { cause: thrown });
    }
    const system = codeOfSystemError(thrown);
    if (system !== undefined) return new LazuliError(system, (thrown as Error).message, { cause: thrown });
    const message = thrown instanceof Error ? thrown.message : String(thrown);
    return new LazuliError("UNKNOWN", message, { cause: thrown });
  }
}

const systemCodes: Readonly<Record<string, ErrorCode>> = {
  ENOENT: "NOT_FOUND",
  EEXIST: "ALREADY_EXISTS",
  EACCES: "PERMISSION_DENIED",
  EPERM: "PERMISSION_DENIED",
  ENOSPC: "RESOURCE_EXHAUSTED",
  EDQUOT: "RESOURCE_EXHAUSTED",
  EMFILE: "RESOURCE_EXHAUSTED",
  ENFILE: "RESOURCE_EXHAUSTED",
  ENOMEM: "RESOURCE_EXHAUSTED",
  EIO: "UNAVAILABLE",
  ECONNREFUSED: "UNAVAILABLE",
  ECONNRESET: "UNAVAILABLE",
  ETIMEDOUT: "DEADLINE_EXCEEDED",
};

function codeOfSystemError(thrown: unknown): ErrorCode | undefined {
  if (!(thrown instanceof Error)) return undefined;
  const code = (thrown as NodeJS.ErrnoException).code;
  return typeof code === "string" ? systemCodes[code] : undefined;
}
