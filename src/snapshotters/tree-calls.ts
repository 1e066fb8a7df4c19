import type { CancellableCall } from "../fuse/index.js";

/** Works on a tree to the end, or until the signal says so. @throws the signal's reason */
export async function finished<Result>(
  start: () => CancellableCall<Result>,
  signal: AbortSignal | undefined,
): Promise<Result> {
  signal?.throwIfAborted();
  const call = start();
  const cancel = (): void => call.cancel();
  signal?.addEventListener("abort", cancel, { once: true });
  // For a signal that came while the call was being started.
  if (signal?.aborted === true) cancel();
  try {
    return await call.done;
  } catch (thrown) {
    signal?.throwIfAborted();
    throw thrown;
  } finally {
    signal?.removeEventListener("abort", cancel);
  }
}
