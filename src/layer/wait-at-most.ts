import type { Clock } from "./clock.js";

/** Waits for all, but no longer than so many milliseconds. No work may be rejected. */
export async function waitAtMost(
  milliseconds: number,
  { clock, work }: { readonly clock: Clock; readonly work: readonly Promise<void>[] },
): Promise<void> {
  await new Promise<void>((resolve) => {
    const timer = clock.after(milliseconds, resolve);
    void Promise.all(work).then(() => {
      timer.cancel();
      resolve();
    });
  });
}
