/**
 * Runs the same operations again and again while call after call fails, and writes what happened as JSON lines:
 *
 *     node operate.js <folder> <control file> <kinds> <errno> <sweeps at most>
 */
import { setImmediate as turn } from "node:timers/promises";
import { LazuliError } from "../../src/errors/index.js";
import { type FaultKind, FaultSwitch } from "../../testing/faults/index.js";
import { openParts } from "./open-parts.js";
import { type Step, stepsOf, type Wanted } from "./steps.js";

const [folder, control, kinds, errno, sweepsMax] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
  string,
];
const faults = new FaultSwitch(control);
const wanted: Wanted = new Map();

function tell(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

async function main(): Promise<void> {
  const parts = await openParts(folder);
  let fired = 0;
  for (let first = 1; first <= Number(sweepsMax); first += 1) {
    faults.arm({ kinds: kinds.split(",") as FaultKind[], first, errno: Number(errno) });
    for (const step of stepsOf(first, parts)) await operate(step, first);
    const { failed } = faults.disarm();
    fired += failed;
    compare(await parts.found(), `after sweep ${first}`);
    if (failed === 0) break;
  }
  await parts.close();
  tell({ fired, wanted: [...wanted] });
  faults.close();
}

/** Once with the fault, and where it failed once more without: each call fails only once. */
async function operate(step: Step, first: number): Promise<void> {
  try {
    await step.run();
  } catch (thrown) {
    const { code, reason, message } = LazuliError.from(thrown);
    tell({ first, step: step.name, code, reason, message });
    await turn();
    await again(step, first);
  }
  step.notes(wanted);
}

async function again(step: Step, first: number): Promise<void> {
  try {
    await step.run();
  } catch (thrown) {
    const { code, message } = LazuliError.from(thrown);
    // It was done although its answer was an error: the call that failed came after the durable step.
    if (code === "ALREADY_EXISTS" || code === "NOT_FOUND") return;
    tell({ first, problem: `${step.name} does not work again: ${code} ${message}` });
  }
}

function compare(found: Wanted, when: string): void {
  const missing = [...wanted].filter(([name, fact]) => found.get(name) !== fact);
  const more = [...found.keys()].filter((name) => !wanted.has(name));
  if (missing.length + more.length > 0) tell({ problem: `${when}: missing ${missing}, more ${more}` });
}

await main();
