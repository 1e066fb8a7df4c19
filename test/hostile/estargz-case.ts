import { type ErrorCode, LazuliError } from "../../src/errors/index.js";

/** One malicious or broken input, and how it must be refused. */
export interface HostileCase {
  readonly name: string;
  readonly run: () => unknown;
  readonly code: ErrorCode;
  readonly reason: string;
}

export interface Verdict {
  readonly code: string | undefined;
  readonly reason: string | undefined;
}

/** Runs a case. Only typed errors count: anything else that is thrown, and an accepted input, is a finding. */
export async function verdictOf(hostile: HostileCase): Promise<Verdict> {
  try {
    await hostile.run();
  } catch (error) {
    if (!(error instanceof LazuliError)) throw error;
    return { code: error.code, reason: error.reason };
  }
  return { code: undefined, reason: "accepted" };
}
