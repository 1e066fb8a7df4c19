import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import t from "tap";
import { failurePointNames } from "../../src/observe/index.js";
import { recordCounts } from "../../testing/counts/index.js";
import { checkAfterCrash, crashFolder, Journal } from "../../testing/crash/index.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { command } from "../../testing/rig/command.js";

const program = fileURLToPath(new URL("../../testing/crash/kill-main.js", import.meta.url));
const PASSES_MAX = 100;
const KILLED = 137;

t.setTimeout(0);

interface Outcome {
  readonly survived: boolean;
  readonly problems: readonly string[];
}

/** Runs the workload until it kills itself, and looks at what is left. */
async function killAt(point: string, pass: number): Promise<Outcome> {
  await using cleanup = new Cleanup();
  const folder = await crashFolder(cleanup);
  const journalPath = join(folder, "journal");
  await writeFile(journalPath, "");
  const words = [join(folder, "root"), journalPath, "1", point, String(pass)];
  const { code } = await command(process.execPath, ["--enable-source-maps", program, ...words], {
    allow: [KILLED],
  });
  const allowed = Journal.read(journalPath).allowedAt(Number.POSITIVE_INFINITY);
  return { survived: code === 0, problems: await checkAfterCrash(join(folder, "root"), allowed) };
}

/** Of snapshotters that the workload has none of; they have tests like this one of their own. */
const elsewhere = ["snapshots.btrfs.", "snapshots.native."];
let kills = 0;
const points = failurePointNames().filter((name) => !elsewhere.some((prefix) => name.startsWith(prefix)));
t.ok(points.length > 0, "the modules have failure points");
for (const point of points) {
  await t.test(`a kill at ${point} loses nothing that was promised`, async (t) => {
    for (let pass = 1; ; pass += 1) {
      const { survived, problems } = await killAt(point, pass);
      t.same(problems, [], survived ? `after ${pass - 1} passes` : `killed at pass ${pass}`);
      kills += survived ? 0 : 1;
      if (survived) {
        t.ok(pass > 1, "the workload comes by here");
        return;
      }
      if (pass === PASSES_MAX) throw new Error(`${point} still fires at pass ${pass}`);
    }
  });
}
await recordCounts({
  name: "crash-kills",
  what: "Kills at failure points",
  figures: { points: points.length, kills },
});
