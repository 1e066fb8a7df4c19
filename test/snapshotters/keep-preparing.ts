import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { lazyRig } from "../../testing/snapshotter-suite/index.js";

/** Prepares and commits for ever and says what was acknowledged: `<kind> <name>[ <name that is gone>]`. */
const [folder = "", round = "0"] = process.argv.slice(2);
const { snapshotter } = await lazyRig({ folder });
for (let index = 0; ; index += 1) {
  const [key, name] = [`active-${round}-${index}`, `committed-${round}-${index}`];
  const parent = index === 0 ? "" : `committed-${round}-${index - 1}`;
  await snapshotter.prepare({ key, parent, labels: {} });
  process.stdout.write(`active ${key}\n`);
  const row = snapshotter.rows().find((found) => found.name === key);
  await writeFile(join(folder, "snapshots", String(row?.id), "fs", "file"), "x");
  await snapshotter.commit({ key, name, parent: "", labels: {} });
  process.stdout.write(`committed ${name} ${key}\n`);
}
