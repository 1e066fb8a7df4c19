import { LazuliError } from "../errors/index.js";

/** The error with what was being done before its text, as containerd's errors have it. */
export function inContext(context: string, thrown: unknown): LazuliError {
  const { code, message, subject, reason, hint } = LazuliError.from(thrown);
  return new LazuliError(code, `${context}: ${message}`, {
    ...(subject === undefined ? {} : { subject }),
    ...(reason === undefined ? {} : { reason }),
    ...(hint === undefined ? {} : { hint }),
    cause: thrown,
  });
}

export function hasCode(thrown: unknown, code: LazuliError["code"]): boolean {
  return thrown instanceof LazuliError && thrown.code === code;
}
