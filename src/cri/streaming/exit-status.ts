import { LazuliError } from "../../errors/index.js";

/** How a command ended: its exit code, or why it did not run. */
export type CommandEnd = { readonly exitCode: number } | { readonly failure: unknown };

/** What the error channel of protocol v4 and later carries: a `metav1.Status` of Kubernetes. */
export function statusJson(end: CommandEnd): string {
  if ("failure" in end) {
    const { message } = LazuliError.from(end.failure);
    return JSON.stringify({ metadata: {}, status: "Failure", message, reason: "InternalError", code: 500 });
  }
  const { exitCode } = end;
  if (exitCode === 0) return JSON.stringify({ metadata: {}, status: "Success" });
  return JSON.stringify({
    metadata: {},
    status: "Failure",
    message: `command terminated with non-zero exit code: exit status ${exitCode}`,
    reason: "NonZeroExitCode",
    details: { causes: [{ reason: "ExitCode", message: String(exitCode) }] },
  });
}

/** The same for older protocols: words where something went wrong, nothing else. */
export function statusText(end: CommandEnd): string {
  if ("failure" in end) return LazuliError.from(end.failure).message;
  return end.exitCode === 0 ? "" : `command terminated with non-zero exit code: exit status ${end.exitCode}`;
}
