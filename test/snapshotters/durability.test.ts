import { spawn } from "node:child_process";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import t from "tap";
import { lazyRig } from "../../testing/snapshotter-suite/index.js";

const program = fileURLToPath(new URL("./keep-preparing.js", import.meta.url));
const ROUNDS = 3;
const ACKNOWLEDGED_MIN = 10;

t.test("what was acknowledged is there after kill -9", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-kill-"));
  const wanted = new Map<string, string>();
  for (let round = 0; round < ROUNDS; round += 1) {
    const child = spawn(process.execPath, [program, folder, String(round)], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let count = 0;
    for await (const line of createInterface({ input: child.stdout })) {
      const [kind, name, gone = ""] = line.split(" ");
      wanted.set(name!, kind!);
      wanted.delete(gone);
      count += 1;
      // At another point of the next call each time.
      if (count === ACKNOWLEDGED_MIN + round) child.kill("SIGKILL");
    }
    t.ok(count >= ACKNOWLEDGED_MIN, "some were acknowledged");
    const rig = await lazyRig({ folder });
    const found = new Map(rig.snapshotter.rows().map((row) => [row.name, row.kind as string]));
    for (const [name, kind] of wanted) {
      // A commit may have been done but not acknowledged: then the key is gone and its name is there.
      const isThere =
        found.get(name) === kind || found.get(name.replace("active", "committed")) === "committed";
      t.ok(isThere, `${kind} ${name}`);
      if (found.get(name) === "active") t.ok((await rig.snapshotter.mounts(name)).length > 0);
    }
    await rig.snapshotter.cleanup();
    if (round === ROUNDS - 1) await rig.dispose();
    else {
      await rig.snapshotter.close();
      await rig.metadata.close();
    }
  }
});
