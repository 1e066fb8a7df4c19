import { linkSignals } from "../async/index.js";
import { type Container, LazuliError, type Task } from "../client/index.js";

/** The task of a container; undefined where it has none. */
export async function taskOf(container: Container): Promise<Task | undefined> {
  try {
    return await container.task();
  } catch (thrown) {
    if (thrown instanceof LazuliError && thrown.code === "NOT_FOUND") return undefined;
    throw thrown;
  }
}

/** Asks the process to end, and kills it when it hasn't after a time. What has ended is fine. */
export async function stopTask(
  task: Task,
  options: { readonly signal: string; readonly timeoutMs: number },
): Promise<void> {
  if ((await task.status()).state === "stopped") return;
  const ended = task.wait();
  await task.kill(options.signal).catch(ignoreMissing);
  using deadline = linkSignals([], options.timeoutMs);
  const isEnded = await Promise.race([ended.then(() => true), aborted(deadline.signal)]);
  if (!isEnded) await task.kill("KILL", { all: true }).catch(ignoreMissing);
  await ended;
}

async function aborted(signal: AbortSignal): Promise<false> {
  if (!signal.aborted) {
    await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
  }
  return false;
}

function ignoreMissing(thrown: unknown): void {
  if (!(thrown instanceof LazuliError) || thrown.code !== "NOT_FOUND") throw thrown;
}
