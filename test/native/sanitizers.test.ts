import { readdir } from "node:fs/promises";
import { join } from "node:path";
import t from "tap";
import { command } from "../../testing/rig/command.js";
import { projectRoot } from "../../testing/rig/lab.js";

t.test("native/core passes its tests under AddressSanitizer and UBSan", async (t) => {
  const tests = (await readdir(join(projectRoot, "native", "test"))).filter((name) =>
    name.endsWith("_test.cc"),
  );
  t.ok(tests.length > 3, "the native tests are found");
  const { stdout, stderr } = await command("bash", [join(projectRoot, "scripts", "build-native.sh"), "asan"]);
  t.notMatch(`${stdout}${stderr}`, /ERROR: AddressSanitizer|runtime error/);
});
