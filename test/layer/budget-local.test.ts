import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import t from "tap";
import { KIB, MIB } from "../../src/layer/limits.js";
import {
  child,
  EngineRig,
  expectedHashes,
  hashesBelow,
  requestOf,
  until,
} from "../../testing/layer/engine-rig.js";
import { type SampleLayer, sampleFiles, sampleLayer } from "../../testing/layer/sample-layer.js";

/** A busy machine is slow, and nothing here is about time. */
t.setTimeout(120_000);

t.test("bytes below a mount of the data file go only when nobody uses it", async (t) => {
  await using rig = await EngineRig.make();
  const [small, large] = [
    sampleLayer(sampleFiles("small", [512 * KIB, 512 * KIB])),
    sampleLayer(
      sampleFiles(
        "large",
        Array.from({ length: 12 }, () => 512 * KIB),
      ),
    ),
  ].map((layer) => ({ layer, ...requestOf(layer) })) as [Made, Made];
  const budget = { limit: { bytes: 3 * MIB }, highWater: 0.9, lowWater: 0.6, pinned: [] };
  const engine = await rig.open({ mount: "erofs", budget });
  await engine.ensure(small.request, {});
  await hashesBelow(await engine.mountPoint(small.request.digest));
  const { number } = engine.status(small.request.digest);
  await until(async () => (await engine.mountPoint(small.request.digest)).endsWith(`${number}c`));
  const folder = await engine.mountPoint(small.request.digest);
  const [upper, work, merged] = ["upper", "work", "merged"].map((name) => join(rig.state, name));
  for (const place of [upper, work, merged]) await mkdir(place!);
  const mounted = await child(
    "mount",
    ...["-t", "overlay", "overlay", "-o", `lowerdir=${folder},upperdir=${upper},workdir=${work}`, merged!],
  );
  t.equal(mounted.code, 0, mounted.stderr);

  await engine.ensure(large.request, {});
  const largeFolder = await engine.mountPoint(large.request.digest);
  t.same(await hashesBelow(largeFolder), expectedHashes(large.layer.files));
  t.ok(engine.budgets.space.evictedBytes > 0);
  t.ok(engine.status(small.request.digest).complete, "all of it is still there");
  t.ok(engine.plane.isDataShared(number));

  t.equal((await child("umount", merged!)).code, 0);
  await engine.plane.verify(number, 0, engine.status(small.request.digest).units - 1);
  await until(async () => {
    await engine.remove(large.request.digest);
    await engine.ensure(large.request, {});
    await hashesBelow(await engine.mountPoint(large.request.digest));
    return !engine.status(small.request.digest).complete;
  });
  t.same(
    await hashesBelow(await engine.mountPoint(small.request.digest)),
    expectedHashes(small.layer.files),
    "who has it again reads the right bytes",
  );
});

interface Made extends ReturnType<typeof requestOf> {
  readonly layer: SampleLayer;
}
