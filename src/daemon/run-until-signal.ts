import { log } from "../observe/index.js";

/** 128 + SIGTERM, what a shell shows for a process that a signal ended. */
const EXIT_AT_ONCE = 143;
/** sysexits(3) EX_SOFTWARE: a bug of ours; the service manager starts us again. */
const EXIT_BUG = 70;

/**
 * Waits for SIGTERM or SIGINT, then stops. A second signal ends the process at once, which loses nothing that was
 * acknowledged. An exception that nobody caught means that the state in memory can't be trusted: it is logged and
 * ends the process; what is on disk is whole at any time, so the next start goes on from there.
 */
export async function runUntilSignal(stop: () => Promise<void>): Promise<void> {
  const onBug = (kind: string) => (thrown: unknown) => {
    const stack = thrown instanceof Error ? thrown.stack : undefined;
    log.error("Ending after a bug", { kind, error: String(thrown), stack });
    process.exit(EXIT_BUG);
  };
  process.on("uncaughtException", onBug("uncaughtException"));
  process.on("unhandledRejection", onBug("unhandledRejection"));
  const signal = await new Promise<NodeJS.Signals>((resolve) => {
    for (const name of ["SIGTERM", "SIGINT"] as const) process.once(name, () => resolve(name));
  });
  for (const name of ["SIGTERM", "SIGINT"] as const) {
    process.on(name, () => {
      log.warn("Ending at once after a second signal", { signal: name });
      process.exit(EXIT_AT_ONCE);
    });
  }
  log.info("Stopping", { signal });
  await stop();
  log.info("Stopped");
}
