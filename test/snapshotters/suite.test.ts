import { join } from "node:path";
import t from "tap";
import { serveGrpc, snapshotsService } from "../../src/services/index.js";
import {
  lazyRig,
  nowNanoseconds,
  snapshotterSuite,
  socketSnapshotter,
} from "../../testing/snapshotter-suite/index.js";

// Modes of files are part of what is compared.
process.umask(0);

await t.test("createLazySnapshotter() is a snapshotter as containerd wants it", async (t) => {
  await snapshotterSuite(t, { name: "direct", make: () => lazyRig(), now: nowNanoseconds });
});

await t.test("snapshotsService() is the same over its socket", async (t) => {
  const make = async () => {
    const rig = await lazyRig();
    const socketPath = join(rig.folder, "s");
    const server = await serveGrpc({ socketPath, mode: 0o600, routes: [snapshotsService(rig.snapshotter)] });
    return {
      snapshotter: socketSnapshotter(socketPath),
      dispose: async () => {
        await server.close();
        await rig.dispose();
      },
    };
  };
  await snapshotterSuite(t, { name: "socket", make, now: nowNanoseconds });
});
