/**
 * Decodes damaged gzip and zstd streams and zTOCs with our code and with others, for as long as wanted, and stops at the
 * first disagreement.
 *
 *     node dist/scripts/fuzz-streams.js [--seconds N] [--seed S] [--round R]
 *
 * The seed is printed; with `--round` just that input is tried again.
 */
import { parseArgs } from "node:util";
import { SpanPlane } from "../test/fuzz/span-plane.js";
import { streamRound } from "../test/fuzz/stream-round.js";

const REPORT_ROUNDS = 10_000;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      seconds: { type: "string", default: "60" },
      seed: { type: "string", default: String(Date.now() % 2 ** 31) },
      round: { type: "string" },
    },
  });
  const seed = Number(values.seed);
  const end = performance.now() + Number(values.seconds) * 1000;
  const first = Number(values.round ?? 0);
  using plane = new SpanPlane();
  console.log(`seed ${seed}`);
  let [accepted, spans] = [0, 0];
  let round = first;
  do {
    const result = await streamRound({ seed, round, plane }).catch((error: unknown) => ({
      finding: `${(error as Error).stack}`,
      isAccepted: false,
      spans: 0,
    }));
    if (result.finding !== undefined) {
      console.log(`--seed ${seed} --round ${round}: ${result.finding}`);
      return 1;
    }
    if (result.isAccepted) accepted += 1;
    spans += result.spans;
    round += 1;
    if (round % REPORT_ROUNDS === 0)
      console.log(`${round} inputs, ${accepted} taken, ${spans} spans decoded`);
  } while (values.round === undefined && performance.now() < end);
  console.log(`${round - first} inputs, ${accepted} taken, ${spans} spans decoded: no finding`);
  return 0;
}

process.exitCode = await main();
