import t from "tap";
import { startUnpacker } from "../../testing/tar/index.js";
import { fuzzRound } from "./fuzz-round.js";

/** Another seed tries other archives; what fails is replayed with `node dist/scripts/fuzz-tar.js --seed S --round R`. */
const SEED = Number(process.env.LAZULI_FUZZ_SEED ?? 20_261_121);
const ROUNDS = Number(process.env.LAZULI_FUZZ_ROUNDS ?? 6000);
/** Goes on for so long where the rounds take less. */
const SECONDS = Number(process.env.FUZZ_SECONDS ?? 0);
const CONTAINERD_ROUNDS = Math.ceil(ROUNDS / 30);

t.test("readTar(), TarReader and tar-stream read the same of damaged archives", async (t) => {
  t.setTimeout(0);
  let [accepted, compared, round] = [0, 0, 0];
  const end = performance.now() + SECONDS * 1000;
  for (; round < ROUNDS || performance.now() < end; round += 1) {
    const result = await fuzzRound({ seed: SEED, round });
    if (result.finding !== undefined) t.fail(`seed ${SEED} round ${round}: ${result.finding}`);
    if (result.isAccepted) accepted += 1;
    compared += result.compared;
  }
  t.comment(`seed ${SEED}: ${round} archives, ${accepted} taken, ${compared} entries compared`);
  t.ok(accepted > round / 20 && accepted < round, "some are good and some are not");
  t.ok(compared > round / 2, "tar-stream has something to say");
});

t.test("compileTar() and containerd make the same of damaged archives that we take", async (t) => {
  await using unpacker = await startUnpacker();
  let accepted = 0;
  for (let round = 0; round < CONTAINERD_ROUNDS; round += 1) {
    const result = await fuzzRound({ seed: SEED + 1, round, unpacker });
    if (result.finding !== undefined) t.fail(`seed ${SEED + 1} round ${round}: ${result.finding}`);
    if (result.isAccepted) accepted += 1;
  }
  t.ok(accepted > 0, `${accepted} of ${CONTAINERD_ROUNDS} were taken`);
});
