/** The process on the disk that loses its power: FOLDER LOG JOURNAL SEED STEP, the last as JSON. */
import { fstatSync, openSync } from "node:fs";
import { armFailurePoint } from "../../src/observe/index.js";
import { command } from "../rig/command.js";
import { JournalWriter } from "./journal.js";
import type { WorkloadStep } from "./record-workload.js";
import { openStoreParts } from "./store-parts.js";
import { Workload } from "./workload.js";

const [folder, logPath, journalPath, seed, stepText] = process.argv.slice(2);
const step = JSON.parse(stepText!) as WorkloadStep;
const log = openSync(logPath!, "r");
const parts = await openStoreParts({
  folder: folder!,
  ...(step.kind === "operations" && !step.isSynced ? { syncFileSystem: async () => undefined } : {}),
});
// The disk writes its log before it answers, so what was flushed before a promise lies before this position.
const journal = new JournalWriter({ path: journalPath!, position: () => fstatSync(log).size });
const workload = new Workload({ parts, journal, seed: Number(seed) });
if (step.kind === "operations") {
  await workload.run(step.count >> 1);
  await command("fstrim", [folder!]);
  await workload.run(step.count >> 1);
} else {
  if (step.killedAt !== undefined) {
    const fire = (): void => void process.kill(process.pid, "SIGKILL");
    armFailurePoint({ name: step.killedAt, pass: 1, fire });
  }
  await workload.putAgain(`ingest-${seed}`);
}
await parts.close();
