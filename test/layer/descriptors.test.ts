import { fileURLToPath } from "node:url";
import t from "tap";
import { child, EngineRig } from "../../testing/layer/engine-rig.js";

/** Enough to load the modules, which opens many files at once. */
const LIMIT = 200;
const program = fileURLToPath(new URL("./descriptors-child.js", import.meta.url));

t.setTimeout(120_000);

t.test("few descriptors cost new layers, and no read of those that are there", async (t) => {
  await using rig = await EngineRig.make();
  const script = 'ulimit -n "$1" && exec "$2" "$3" "$4" "$5"';
  const words = [String(LIMIT), process.execPath, program, rig.root, rig.state];
  const { stdout, stderr, code } = await child("sh", "-c", script, "sh", ...words);
  t.equal(code, 0, stderr);
  const told = JSON.parse(stdout);
  t.match(told, { reason: "descriptors-short", wrong: 0, limit: LIMIT });
  t.ok(told.made > 3 && told.used < LIMIT, `${told.made} layers, ${told.used} descriptors`);
  // The mounts that it leaves answer nobody; the rig takes them away.
});
