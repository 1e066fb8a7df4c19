import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { namespacedContent, openLocalStore, proxyContentStore } from "../../src/content/index.js";
import { loadBinding } from "../../src/fuse/index.js";
import { NamespaceTable, openMetadata } from "../../src/metadata/index.js";
import { contentService, serveGrpc } from "../../src/services/index.js";
import { contentSuite, crossNamespaceSuite } from "../../testing/content-suite/index.js";
import { Cleanup } from "../../testing/rig/cleanup.js";

const binding = loadBinding();
const now = () => binding.realtimeNanoseconds();

/** Namespaces over one store, and a socket that serves them. */
async function served(policy: "shared" | "isolated") {
  const cleanup = new Cleanup();
  const folder = await mkdtemp(join(tmpdir(), "lazuli-content-suite-"));
  cleanup.add(async () => await rm(folder, { recursive: true, force: true }));
  const metadata = await openMetadata({ directory: join(folder, "metadata") });
  cleanup.add(async () => await metadata.close());
  const namespaces = new NamespaceTable({ metadata, now });
  await namespaces.create({
    namespace: "first",
    labels: { "containerd.io/namespace.shareable": policy === "isolated" ? "true" : "false" },
  });
  const local = await openLocalStore({ root: join(folder, "content"), now, fileSteps: binding.fileSteps });
  cleanup.add(async () => await local.close());
  const content = namespacedContent({
    metadata,
    store: local,
    now,
    policy,
  });
  const socketPath = join(folder, "s");
  const service = contentService(({ namespace, lease }) =>
    content.for({ namespace, ...(lease === undefined ? {} : { lease }) }),
  );
  const server = await serveGrpc({ socketPath, mode: 0o600, routes: [service], closeTimeoutMs: 100 });
  cleanup.add(async () => await server.close());
  const proxy = (namespace: string) => {
    const store = proxyContentStore({ socketPath, namespace });
    cleanup.add(async () => await store[Symbol.asyncDispose]());
    return store;
  };
  return { content, proxy, dispose: async () => await cleanup[Symbol.asyncDispose]() };
}

t.test("openLocalStore() passes the suite", async (t) => {
  await contentSuite(t, {
    name: "local",
    now,
    // Labels are in the rows of the namespaces.
    keepsLabels: false,
    factory: async () => {
      const root = await mkdtemp(join(tmpdir(), "lazuli-local-suite-"));
      let store = await openLocalStore({ root, now, fileSteps: binding.fileSteps });
      return {
        store,
        reopen: async () => {
          await store.close();
          store = await openLocalStore({ root, now, fileSteps: binding.fileSteps });
          return store;
        },
        dispose: async () => {
          await store.close();
          await rm(root, { recursive: true, force: true });
        },
      };
    },
  });
});

t.test("namespacedContent() passes the suite", async (t) => {
  await contentSuite(t, {
    name: "namespaced",
    now,
    // A ref is part of the key of a row.
    refBytesMax: 1024,
    takesNulInRefs: false,
    factory: async () => {
      const { content, dispose } = await served("shared");
      return { store: content.for({ namespace: "suite" }), dispose };
    },
  });
});

t.test("the local store passes the suite behind its service and the proxy", async (t) => {
  await contentSuite(t, {
    name: "wire",
    now,
    refBytesMax: 1024,
    takesNulInRefs: false,
    factory: async () => {
      const { proxy, dispose } = await served("shared");
      return { store: proxy("suite"), dispose };
    },
  });
});

for (const policy of ["shared", "isolated", "shareable"] as const) {
  t.test(`two namespaces are as the policy ${policy} has it, also over the wire`, async (t) => {
    const names = policy === "isolated" ? ["second", "third"] : ["first", "second"];
    const [one, other] = names as [string, string];
    for (const isWire of [false, true]) {
      await crossNamespaceSuite(t, {
        name: isWire ? "wire" : "store",
        policy,
        now,
        factory: async () => {
          const { content, proxy, dispose } = await served(policy === "shared" ? "shared" : "isolated");
          const of = (namespace: string) => (isWire ? proxy(namespace) : content.for({ namespace }));
          return { first: of(one), second: of(other), dispose };
        },
      });
    }
  });
}
