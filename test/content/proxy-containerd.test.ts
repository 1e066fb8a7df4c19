import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { proxyContentStore } from "../../src/content/index.js";
import { loadBinding } from "../../src/fuse/index.js";
import { contentSuite, crossNamespaceSuite } from "../../testing/content-suite/index.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { command } from "../../testing/rig/command.js";
import { startContainerd } from "../../testing/rig/containerd.js";

const binding = loadBinding();
const now = () => binding.realtimeNanoseconds();
const containerd = await command("containerd", ["--version"]).catch(() => undefined);
const skip = containerd === undefined && "containerd is not installed";

/** A containerd of its own, and its content as namespaces see it. */
async function started(namespaces: readonly string[]) {
  const cleanup = new Cleanup();
  const folder = await mkdtemp(join(tmpdir(), "lazuli-content-"));
  cleanup.add(async () => await rm(folder, { recursive: true, force: true }));
  let running = await startContainerd({ folder });
  cleanup.add(async () => await running.stop());
  const { address, ctr } = running;
  const restart = async (): Promise<void> => {
    await running.stop();
    running = await startContainerd({ folder });
  };
  const stores = [];
  for (const namespace of namespaces) {
    // Without a lease containerd's collection takes what the suite has made.
    await ctr(["-n", namespace, "leases", "create", "--id", "suite"]);
    const store = proxyContentStore({ socketPath: address, namespace, lease: "suite" });
    cleanup.add(async () => await store[Symbol.asyncDispose]());
    stores.push(store);
  }
  return { stores, restart, dispose: async () => await cleanup[Symbol.asyncDispose]() };
}

t.test("proxyContentStore() passes the suite against containerd itself", { skip }, async (t) => {
  await contentSuite(t, {
    name: "containerd",
    now,
    // containerd 1.6 hashes with sha256 only, and its content filters know no size.
    algorithms: ["sha256"],
    filtersBySize: false,
    factory: async () => {
      const { stores, restart, dispose } = await started(["suite"]);
      const store = stores[0]!;
      const reopen = async () => {
        await restart();
        return store;
      };
      return { store, reopen, dispose };
    },
  });
});

t.test("two namespaces of containerd share as the suite says", { skip }, async (t) => {
  await crossNamespaceSuite(t, {
    name: "containerd",
    policy: "shared",
    now,
    factory: async () => {
      const { stores, dispose } = await started(["first", "second"]);
      return { first: stores[0]!, second: stores[1]!, dispose };
    },
  });
});
