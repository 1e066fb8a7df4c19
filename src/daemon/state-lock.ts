import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { failedPrecondition, LazuliError } from "../errors/index.js";
import { lockFolder } from "../metadata/index.js";
import { log } from "../observe/index.js";

/** Beyond the time that the other one has for its running calls, longest wait for its end. */
const TAKEOVER_EXTRA_MS = 20_000;
const TAKEOVER_POLL_MS = 5;
/** The lock is tried again after this, also where the process is still seen: one that nobody reaped. */
const TAKEOVER_ROUND_MS = 250;

/**
 * Takes the state folder for this process: a second one would take the first one's mounts for leftovers. With
 * `isTakeover` the other one is asked to end, which leaves its mounts to us. @throws FAILED_PRECONDITION
 */
export async function lockState(
  folder: string,
  options: {
    readonly isTakeover?: boolean;
    readonly config: { readonly snapshotter: { readonly stopTimeoutMs: number } };
  },
): Promise<AsyncDisposable> {
  const until = performance.now() + options.config.snapshotter.stopTimeoutMs + TAKEOVER_EXTRA_MS;
  for (let asked: number | undefined; ; ) {
    try {
      return await lockFolder(folder);
    } catch (thrown) {
      if (LazuliError.from(thrown).reason !== "metadata-in-use") throw thrown;
      if (options.isTakeover !== true || performance.now() > until) throw inUse(folder, thrown);
    }
    const holder = await holderOf(folder);
    if (holder !== undefined && holder !== asked) {
      log.info("Asking another lazuli to end", { pid: holder });
      // It may have ended by itself meanwhile.
      if (isRunning(holder)) process.kill(holder, "SIGTERM");
      asked = holder;
    }
    const roundEnd = performance.now() + TAKEOVER_ROUND_MS;
    while (asked !== undefined && isRunning(asked) && performance.now() < roundEnd)
      await sleep(TAKEOVER_POLL_MS);
  }
}

/** Whoever has the lock writes its process id. */
async function holderOf(folder: string): Promise<number | undefined> {
  const pid = Number((await readFile(join(folder, "lock"), "latin1")).trim());
  return Number.isSafeInteger(pid) && pid > 1 && pid !== process.pid ? pid : undefined;
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    // ESRCH: it has ended.
    return false;
  }
}

function inUse(folder: string, cause: unknown): Error {
  return failedPrecondition(`Cannot use ${folder}: want it free, got another lazuli that runs on it`, {
    subject: folder,
    reason: "state-in-use",
    hint: "Stop the other one, take over from it with --takeover, or give this one a state folder of its own",
    cause,
  });
}
