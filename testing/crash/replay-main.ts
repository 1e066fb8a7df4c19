/** Checks one image of a recording that a failed run has kept: FOLDER COUNT SEED NUMBER. */
import { join } from "node:path";
import { Cleanup } from "../rig/cleanup.js";
import { checkImages } from "./check-images.js";
import { crashFolder } from "./crash-folder.js";

const [kept, count, seed, number] = process.argv.slice(2) as [string, string, string, string];
await using cleanup = new Cleanup();
const folder = await crashFolder(cleanup);
const recording = {
  basePath: join(kept, "base"),
  logPath: join(kept, "log"),
  journalPath: join(kept, "journal"),
};
const { failures } = await checkImages(recording, {
  folder,
  count: Number(count),
  seed: Number(seed),
  only: Number(number),
});
process.stdout.write(
  `${failures.length === 0 ? "nothing is wrong" : JSON.stringify(failures, undefined, 2)}\n`,
);
