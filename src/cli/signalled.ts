const signals = ["SIGINT", "SIGTERM"] as const;

/** Aborts at the first SIGINT or SIGTERM, so that the command can clean up; the second ends the process at once. */
export function signalled(): Disposable & { readonly signal: AbortSignal } {
  const controller = new AbortController();
  const release = (): void => {
    for (const name of signals) process.off(name, onSignal);
  };
  const onSignal = (): void => {
    release();
    controller.abort(new DOMException("The command was interrupted", "AbortError"));
  };
  for (const name of signals) process.on(name, onSignal);
  return { signal: controller.signal, [Symbol.dispose]: release };
}
