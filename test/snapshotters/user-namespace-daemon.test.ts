import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { createClient } from "@connectrpc/connect";
import t from "tap";
import { Introspection } from "../../gen/containerd/services/introspection/v1/introspection_pb.js";
import { readConfig } from "../../src/daemon/index.js";
import { createProxySnapshotter } from "../../src/snapshotters/index.js";
import { command } from "../../testing/rig/command.js";
import { startDaemon } from "../../testing/rig/daemon.js";
import { socketTransport, withMounts } from "../../testing/snapshotter-suite/index.js";
import { image, inNamespace, mappedLabels, mountedBelow, scratch } from "./user-namespace-rig.js";

t.test(
  "lazuli daemon says what its snapshotters can do with ids, and keeps their mounts apart",
  async (t) => {
    const folder = await scratch(t);
    // What the test makes has no root: no collection may come meanwhile.
    const config = `
    [gc]
    startup_delay = "1h"
    deletion_threshold = 100000
    mutation_threshold = 0
    [snapshotters.told]
    type = "overlayfs"
    id_mapping = "options"
    [snapshotters.lazy]
    type = "overlayfs"
    [snapshotters.slow]
    type = "overlayfs"
    id_mapping = "chown"
    [snapshotters.copy]
    type = "native"
  `;
    const daemon = await startDaemon({ folder, config });
    t.teardown(async () => await daemon.stop());
    const introspection = createClient(Introspection, socketTransport(daemon.address));
    const { plugins } = await introspection.plugins({ filters: ["type==io.containerd.snapshotter.v1"] });
    t.same(Object.fromEntries(plugins.map(({ id, capabilities }) => [id, capabilities])), {
      overlayfs: ["remap-ids", "only-remap-ids"],
      native: [],
      told: ["rebase", "remap-ids", "only-remap-ids"],
      lazy: ["rebase", "remap-ids", "only-remap-ids"],
      slow: ["rebase", "remap-ids"],
      copy: [],
    });
    for (const [name, place] of [
      ["overlayfs", "lazy"],
      ["lazy", "snapshotters/lazy"],
    ] as const) {
      const { address } = daemon;
      const snapshotter = createProxySnapshotter({ address, name, context: () => ({ namespace: "tests" }) });
      t.teardown(async () => await snapshotter.close());
      const parent = await image(snapshotter);
      const mounts = await snapshotter.prepare({ key: "box", parent, labels: mappedLabels });
      t.equal((await mountedBelow(join(folder, "state/idmapped", place))).length, 2);
      await withMounts(mounts, async (mounted) => {
        t.equal((await inNamespace(mounted, "stat -c '%u:%g' home/user")).stdout, "1000:1001\n");
      });
    }
  },
);

t.test("lazuli daemon does not start where a limit can't be kept", async (t) => {
  const folder = await scratch(t);
  await mkdir(join(folder, "root"));
  await command("mount", ["-t", "tmpfs", "-o", "mode=0700", "lazuli-quota", join(folder, "root")]);
  const config = '[snapshotters.overlayfs]\ntype = "lazy"\ndefault_quota = "1GiB"\n';
  await t.rejects(startDaemon({ folder, config }), /did not get ready/);
  t.match(await readFile(join(folder, "lazuli.log"), "utf8"), /project-quota-missing/);
});

t.test("readConfig() takes the keys of overlay for overlay only", async (t) => {
  const text = '[snapshotters.a]\ntype = "lazy"\nid_mapping = "chown"\ndefault_quota = "10GiB"\n';
  t.match(readConfig({ text }).snapshotters, {
    a: { idMapping: "chown", defaultQuotaBytes: 10 * 1024 ** 3 },
  });
  for (const line of ['id_mapping = "mounts"', 'default_quota = "1GiB"']) {
    const wrong = `[snapshotters.a]\ntype = "native"\n${line}\n`;
    t.throws(() => readConfig({ text: wrong }), {
      code: "INVALID_ARGUMENT",
      message: /overlayfs and lazy only/,
    });
  }
});
