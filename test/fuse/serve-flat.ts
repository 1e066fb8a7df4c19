import { openSync, readFileSync } from "node:fs";
import { loadBinding, mountFuse, sessionKinds } from "../../src/fuse/index.js";

/**
 * A process that mounts a flat session on a descriptor that it inherited, with one layer whose units never arrive. For
 * tests that kill it: serve-flat.js <fuse fd> <mount> <data file> <table file>
 */
const [fuseFd, target, dataPath, tablePath] = process.argv.slice(2);
const binding = loadBinding();
const plane = new binding.Plane({
  fuseThreads: 2,
  workerThreads: 1,
  waitingReadsMax: 16,
  onMiss: (misses) => process.stdout.write("miss\n".repeat(misses.length)),
  onInterrupt: () => {},
  onDamaged: () => {},
  onRefused: () => {},
});
const units = readFileSync(tablePath!);
const present = new Uint8Array(units.length);
plane.addLayer({ number: 5, dataFd: openSync(dataPath!, "r+"), units, present, metaFd: -1 });
plane.openSession({ kind: sessionKinds.flat, layer: 0, fuseFd: Number(fuseFd), adopted: false });
await mountFuse({ binding, fuseFd: Number(fuseFd), target: target!, kind: sessionKinds.flat });
process.stdout.write("mounted\n");
