import { log } from "../observe/index.js";

/**
 * Ties something open to a call: it is closed once, when the call's signal aborts (a client that is gone leaves its
 * handler waiting where it yielded) or when the handler closes it.
 */
export function closedWithCall(signal: AbortSignal, close: () => Promise<void>): () => Promise<void> {
  let closing: Promise<void> | undefined;
  const closeOnce = (): Promise<void> => {
    signal.removeEventListener("abort", onAbort);
    closing ??= close();
    return closing;
  };
  const onAbort = (): void => {
    closeOnce().catch((error: unknown) => {
      log.warn("A call that was cancelled could not be cleaned up", { error: String(error) });
    });
  };
  if (signal.aborted) onAbort();
  else signal.addEventListener("abort", onAbort, { once: true });
  return closeOnce;
}
