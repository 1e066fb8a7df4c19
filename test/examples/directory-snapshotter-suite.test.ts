import { join } from "node:path";
import t from "tap";
import { createProxySnapshotter } from "../../src/snapshotters/index.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { projectRoot } from "../../testing/rig/lab.js";
import { type Service, startService } from "../../testing/rig/service.js";
import { memoryFolder } from "../../testing/snapshotter-suite/factories.js";
import {
  nowNanoseconds,
  type SuiteSnapshotter,
  snapshotterSuite,
} from "../../testing/snapshotter-suite/index.js";

// Modes of files are part of what is compared.
process.umask(0);
t.setTimeout(120_000);

async function make(): Promise<SuiteSnapshotter> {
  const cleanup = new Cleanup();
  const folder = await memoryFolder(cleanup);
  const socket = join(folder, "directory.sock");
  const start = (): Promise<Service> =>
    startService({
      program: process.execPath,
      args: [join(projectRoot, "examples/directory-snapshotter.js"), socket, join(folder, "root")],
      logFile: join(folder, "example.log"),
      ready: socket,
    });
  let service = await start();
  cleanup.add(() => service.stop());
  const snapshotter = createProxySnapshotter({ address: socket, name: "any" });
  return {
    snapshotter,
    restart: async () => {
      await service.stop("SIGKILL");
      service = await start();
      return snapshotter;
    },
    dispose: () => cleanup[Symbol.asyncDispose](),
  };
}

const slow = "a copy of a tree is a process of its own here, and this case makes hundreds";

t.test("examples/directory-snapshotter.js is a snapshotter as containerd wants it", async (t) => {
  await snapshotterSuite(t, {
    name: "example",
    make,
    now: nowNanoseconds,
    walksInOrder: true,
    texts: "backend",
    without: {
      "128LayersMount": slow,
      CleanupBesideChanges: slow,
      LowestCharacters: "the keys of LMDB can't hold these names",
    },
  });
});
