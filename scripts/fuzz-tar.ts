/**
 * Reads damaged archives with our reader and with others, for as long as wanted, and stops at the first disagreement.
 *
 *     node dist/scripts/fuzz-tar.js [--seconds N] [--seed S] [--round R] [--containerd]
 *
 * The seed is printed; with `--round` just that archive is tried again. `--containerd` compares the trees with those that
 * a containerd of its own unpacks (as root).
 */
import { parseArgs } from "node:util";
import { fuzzRound } from "../test/tar/fuzz-round.js";
import { startUnpacker } from "../testing/tar/index.js";

const REPORT_ROUNDS = 10_000;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      seconds: { type: "string", default: "60" },
      seed: { type: "string", default: String(Date.now() % 2 ** 31) },
      round: { type: "string" },
      containerd: { type: "boolean", default: false },
    },
  });
  const seed = Number(values.seed);
  const end = performance.now() + Number(values.seconds) * 1000;
  const first = Number(values.round ?? 0);
  await using unpacker = values.containerd ? await startUnpacker() : undefined;
  console.log(`seed ${seed}`);
  let [accepted, compared] = [0, 0];
  let round = first;
  do {
    const result = await fuzzRound({ seed, round, ...(unpacker === undefined ? {} : { unpacker }) }).catch(
      (error: unknown) => ({ finding: `${(error as Error).stack}`, isAccepted: false, compared: 0 }),
    );
    if (result.finding !== undefined) {
      console.log(`--seed ${seed} --round ${round}: ${result.finding}`);
      return 1;
    }
    if (result.isAccepted) accepted += 1;
    compared += result.compared;
    round += 1;
    if (round % REPORT_ROUNDS === 0)
      console.log(`${round} archives, ${accepted} taken, ${compared} entries compared`);
  } while (values.round === undefined && performance.now() < end);
  console.log(`${round - first} archives, ${accepted} taken, ${compared} entries compared: no finding`);
  return 0;
}

process.exitCode = await main();
