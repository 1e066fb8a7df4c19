import type { Test } from "tap";

/** What a parser may hold on to beyond what it was given. */
const GROWTH_BYTES_MAX = 256 << 20;

/** Runs a case that makes an input of at most `inputBytes`, which fails where the process has grown by more afterwards. */
export async function bounded<Result>(
  t: Test,
  name: string,
  run: () => Promise<Result>,
  inputBytes = 0,
): Promise<Result> {
  const before = process.memoryUsage.rss();
  const result = await run();
  const grown = process.memoryUsage.rss() - before;
  if (grown > GROWTH_BYTES_MAX + inputBytes) t.fail(`${name} takes ${grown} bytes`);
  return result;
}
