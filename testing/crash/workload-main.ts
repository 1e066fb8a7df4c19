/** The process on the disk that loses its power: FOLDER LOG JOURNAL SEED OPERATIONS VARIANT. */
import { fstatSync, openSync } from "node:fs";
import { command } from "../rig/command.js";
import { JournalWriter } from "./journal.js";
import { openStoreParts } from "./store-parts.js";
import { Workload } from "./workload.js";

const [folder, logPath, journalPath, seed, operations, variant] = process.argv.slice(2);
const log = openSync(logPath!, "r");
const parts = await openStoreParts({
  folder: folder!,
  ...(variant === "right" ? {} : { syncFileSystem: async () => undefined }),
});
// The disk writes its log before it answers, so what was flushed before a promise lies before this position.
const journal = new JournalWriter({ path: journalPath!, position: () => fstatSync(log).size });
const workload = new Workload({ parts, journal, seed: Number(seed) });
await workload.run(Number(operations) >> 1);
await command("fstrim", [folder!]);
await workload.run(Number(operations) >> 1);
await parts.close();
