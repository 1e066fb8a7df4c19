import {
  canceled,
  dataLoss,
  failedPrecondition,
  invalidArgument,
  LazuliError,
  resourceExhausted,
} from "../errors/index.js";

/** What the addon's calls for trees and layers throw, in our words. `what` is as in "Cannot unpack layer sha256:…". */
export function nativeFailure(
  thrown: unknown,
  what: { readonly action: string; readonly subject: string },
): unknown {
  if (thrown instanceof LazuliError || !(thrown instanceof Error)) return thrown;
  const { code, syscall } = thrown as NodeJS.ErrnoException;
  if (code === undefined || syscall === undefined) return thrown;
  const { subject } = what;
  const message = `Cannot ${what.action}: ${thrown.message}`;
  const cause = thrown;
  switch (code) {
    case "ECANCELED":
      return canceled(message, { subject, reason: "canceled", cause });
    case "ENOSPC":
    case "EDQUOT":
      return resourceExhausted(message, {
        subject,
        reason: "no-space",
        hint: "Free space on the file system of the snapshots",
        cause,
      });
    case "EIO":
      return dataLoss(message, { subject, reason: "disk-failed", cause });
    case "ESTALE":
      return failedPrecondition(message, {
        subject,
        reason: "tree-changed",
        hint: "Pause what writes to the snapshot, and try again",
        cause,
      });
    case "EROFS":
    case "EPERM":
    case "EACCES":
      return failedPrecondition(message, { subject, reason: "not-permitted", cause });
    default:
      return invalidArgument(message, { subject, reason: "layer-unappliable", cause });
  }
}

/** Waits for a call of the addon, which is cancelled with the signal and has ended when this settles. */
export async function untilDone<Result>(
  call: { readonly done: Promise<Result>; cancel(): void },
  signal: AbortSignal,
): Promise<Result> {
  const cancel = (): void => call.cancel();
  signal.addEventListener("abort", cancel, { once: true });
  if (signal.aborted) cancel();
  try {
    return await call.done;
  } catch (thrown) {
    signal.throwIfAborted();
    throw thrown;
  } finally {
    signal.removeEventListener("abort", cancel);
  }
}
