import t from "tap";
import { recordCounts } from "../../testing/counts/index.js";
import { SpanPlane } from "./span-plane.js";
import { streamRound } from "./stream-round.js";

/** Another seed tries other streams; what fails is replayed with `node dist/scripts/fuzz-streams.js --seed S --round R`. */
const SEED = Number(process.env.LAZULI_FUZZ_SEED ?? 20_261_121);
const SECONDS = Number(process.env.FUZZ_SECONDS ?? 8);
const ROUNDS_MIN = 200;

t.test(
  "our decoders, zlib, pako and zstd make the same of damaged streams, and no zTOC leads outside",
  async (t) => {
    t.setTimeout(0);
    using plane = new SpanPlane();
    let [round, accepted, spans] = [0, 0, 0];
    const end = performance.now() + SECONDS * 1000;
    for (; round < ROUNDS_MIN || performance.now() < end; round += 1) {
      const result = await streamRound({ seed: SEED, round, plane });
      if (result.finding !== undefined) t.fail(`seed ${SEED} round ${round}: ${result.finding}`);
      if (result.isAccepted) accepted += 1;
      spans += result.spans;
    }
    const figures = { executions: round, taken: accepted, spans, seed: SEED };
    await recordCounts({ name: "fuzz-streams", what: "Fuzzed streams, beside zlib, pako and zstd", figures });
    t.comment(`seed ${SEED}: ${round} inputs, ${accepted} taken, ${spans} spans decoded`);
    t.ok(accepted > ROUNDS_MIN / 20 && accepted < round, "some are good and some are not");
    t.ok(spans > accepted, "spans were decoded from their checkpoints");
  },
);
