import { log } from "../observe/index.js";

/** 128 + SIGTERM, what a shell shows for a process that a signal ended. */
const EXIT_AT_ONCE = 143;
/** sysexits(3) EX_SOFTWARE: a bug of ours; the service manager starts us again. */
const EXIT_BUG = 70;

/**
 * An exception that nobody caught means that the state in memory can't be trusted: it is logged and ends the process.
 * What is on disk is whole at any time, so the next start goes on from there.
 */
export function endOnBugs(): void {
  for (const kind of ["uncaughtException", "unhandledRejection"] as const) {
    process.on(kind, (thrown: unknown) => {
      const stack = thrown instanceof Error ? thrown.stack : undefined;
      log.error("Ending after a bug", { kind, error: String(thrown), stack });
      process.exit(EXIT_BUG);
    });
  }
}

/** Waits for SIGTERM or SIGINT. A second one ends the process at once, which loses nothing that was acknowledged. */
export async function untilSignal(): Promise<NodeJS.Signals> {
  return await new Promise((resolve) => {
    let isFirst = true;
    for (const name of ["SIGTERM", "SIGINT"] as const) {
      process.on(name, () => {
        if (isFirst) {
          isFirst = false;
          resolve(name);
          return;
        }
        log.warn("Ending at once after a second signal", { signal: name });
        process.exit(EXIT_AT_ONCE);
      });
    }
  });
}
