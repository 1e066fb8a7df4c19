import t from "tap";
import { recordCounts } from "../../testing/counts/index.js";
import { type Misbehaviour, misbehaviours } from "../../testing/registry/misbehaviours/index.js";
import { type Phase, phases, runPhase } from "./registry-phases.js";
import { PhaseEngine } from "./registry-phases-rig.js";

/** Most of the time a case waits for a deadline. */
const CASES_AT_ONCE = 24;
const BEHAVIOURS_LEAST = 100;
const only = process.env.LAZULI_BEHAVIOUR;

t.setTimeout(0);

interface PhaseCase {
  readonly phase: Phase;
  readonly misbehaviour: Misbehaviour;
}

t.test("each misbehaviour of a registry ends each phase with the right bytes or a typed error", async (t) => {
  const chosen = misbehaviours.filter(({ id }) => only === undefined || id === only);
  // Those that wait for the same deadline one after the other: an engine is opened once for them.
  const sorted = [...chosen].sort((a, b) => a.verdicts.read.localeCompare(b.verdicts.read));
  const queue: PhaseCase[] = phases.flatMap((phase) =>
    sorted.map((misbehaviour) => ({ phase, misbehaviour })),
  );
  const cases = queue.length;
  const worker = async (): Promise<void> => {
    for (let one = queue.shift(); one !== undefined; ) one = await share(one);
  };
  /** Cases in one folder, to the end of the queue or to the first that throws: what that leaves must fail no other. */
  const share = async (first: PhaseCase): Promise<PhaseCase | undefined> => {
    await using place = await PhaseEngine.make();
    for (let one: PhaseCase | undefined = first; one !== undefined; one = queue.shift()) {
      const { phase, misbehaviour } = one;
      const name = `${misbehaviour.id} ${misbehaviour.name}: ${phase}`;
      try {
        const { verdict, faults } = await runPhase({ phase, misbehaviour, place });
        t.ok(misbehaviour.verdicts[phase].split(" or ").includes(verdict), `${name}: ${verdict}`);
        t.same(faults, [], `${name}, and nothing besides`);
      } catch (error) {
        t.fail(`${name}: ${error instanceof Error ? error.stack : String(error)}`);
        return queue.shift();
      }
    }
    return undefined;
  };
  await Promise.all(Array.from({ length: CASES_AT_ONCE }, worker));
  if (only !== undefined) return;
  t.equal(new Set(misbehaviours.map(({ name }) => name)).size, chosen.length, "each has a name of its own");
  t.ok(chosen.length >= BEHAVIOURS_LEAST, `${chosen.length} behaviours`);
  await recordCounts({
    name: "registry-phases",
    what: "Behaviours of a registry, each in a pull, a read, a prefetch and a read after a restart",
    figures: { behaviours: chosen.length, phases: phases.length, cases },
  });
});
