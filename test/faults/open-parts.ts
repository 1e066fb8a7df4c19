import { join } from "node:path";
import { namespacedContent, openLocalStore } from "../../src/content/index.js";
import { loadBinding } from "../../src/fuse/index.js";
import { images, leaseResources, leases, openMetadata } from "../../src/metadata/index.js";
import { createLazySnapshotter } from "../../src/snapshotters/index.js";
import { FakeEngine } from "../../testing/snapshotter-suite/fake-engine.js";
import { labelsOnly } from "../../testing/snapshotter-suite/lazy-rig.js";
import { foundBlobs } from "./content-steps.js";
import { namespace as ours, type StepParts, type Wanted } from "./steps.js";

export interface OpenParts extends StepParts {
  /** What is there. */
  found(): Promise<Wanted>;
  close(): Promise<void>;
}

/** The store on a folder, as the daemon puts it together. */
export async function openParts(folder: string): Promise<OpenParts> {
  const binding = loadBinding();
  const now = (): bigint => binding.realtimeNanoseconds();
  const metadata = await openMetadata({ directory: join(folder, "metadata") });
  const store = await openLocalStore({ root: join(folder, "content"), now, fileSteps: binding.fileSteps });
  const content = namespacedContent({ metadata, store, now });
  const snapshotter = await createLazySnapshotter({
    root: folder,
    binding,
    metadata,
    engine: new FakeEngine(join(folder, "layers")),
    resolver: labelsOnly(),
    now,
    syncFileSystem: (path) => binding.fileSteps([{ kind: "syncFileSystem", path }]),
  });
  const blobs = content.for({ namespace: ours });
  return {
    metadata,
    snapshotter,
    blobs,
    sweep: async () => await content.sweep(),
    now,
    found: async () => {
      const found: Wanted = new Map(await foundBlobs(blobs));
      for (const { name, target } of metadata.values(images)) found.set(`image ${name}`, target.digest);
      for (const { id, namespace } of metadata.values(leases)) {
        const held = Array.from(metadata.entries(leaseResources, [namespace, id]), ({ value }) => value.id);
        found.set(`lease ${id}`, held.join(" "));
      }
      for await (const { name, kind } of snapshotter.walk([])) {
        found.set(`snapshot ${name}`, kind);
        if (kind === "active") await snapshotter.mounts(name);
      }
      return found;
    },
    close: async () => {
      await snapshotter.close();
      await metadata.close();
    },
  };
}
