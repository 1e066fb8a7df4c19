/** A process that kills itself at a failure point: FOLDER JOURNAL SEED POINT PASS. It prints "survived" at its end. */
import { armFailurePoint } from "../../src/observe/index.js";
import { JournalWriter } from "./journal.js";
import { openStoreParts } from "./store-parts.js";
import { Workload } from "./workload.js";

const [folder, journalPath, seed, point, pass] = process.argv.slice(2);
armFailurePoint({ name: point!, pass: Number(pass), fire: () => process.kill(process.pid, "SIGKILL") });
let steps = 0;
const position = (): number => {
  steps += 1;
  return steps;
};
const parts = await openStoreParts({ folder: folder! });
const journal = new JournalWriter({ path: journalPath!, position });
await new Workload({ parts, journal, seed: Number(seed) }).script();
await parts.close();
process.stdout.write("survived\n");
