import { execFile } from "node:child_process";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import t from "tap";
import { parseMountInfo } from "../../src/layer/mount-table.js";
import { EngineRig, requestOf } from "../../testing/layer/engine-rig.js";
import { sampleFiles, sampleLayer } from "../../testing/layer/sample-layer.js";

const run = promisify(execFile);

for (const mount of ["erofs", "fuse-tree"] as const) {
  t.test(
    `reconcileMounts() mends what somebody unmounted, and detaches what nobody knows: ${mount}`,
    async (t) => {
      await using rig = await EngineRig.make();
      const engine = await rig.open({ mount });
      const layer = sampleLayer(sampleFiles("reconcile", [100_000]));
      const { request } = requestOf(layer);
      await engine.ensure(request, {});
      const folder = await engine.mountPoint(request.digest);
      const targets = async (): Promise<string[]> =>
        parseMountInfo(await readFile("/proc/self/mountinfo", "utf8"))
          .map(({ target }) => target)
          .filter((target) => target.startsWith(`${rig.state}/`));
      const healthy = await targets();
      await engine.reconcileMounts();
      t.same(await targets(), healthy, "leaves what is right");

      for (const target of healthy.reverse()) await run("umount", ["--lazy", target]);
      const unknown = join(rig.state, "layers", "4711");
      await mkdir(unknown);
      await run("mount", ["-t", "tmpfs", "none", unknown]);
      await engine.reconcileMounts();
      t.same(await targets(), mount === "erofs" ? [join(rig.state, "data")] : []);
      t.equal(engine.status(request.digest).mountKind, "none");
      t.equal(await engine.mountPoint(request.digest), folder);
      const file = layer.files[0]!;
      const { stdout } = await run("cat", [join(folder, file.name)], { encoding: "buffer" });
      t.ok(stdout.equals(file.content), "the next user reads through a new mount");
    },
  );
}
