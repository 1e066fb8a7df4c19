import { failurePointNames } from "../../src/observe/index.js";
import {
  createBtrfsSnapshotter,
  createNativeSnapshotter,
  createOverlayfsSnapshotter,
  createProxySnapshotter,
  namespacedSnapshotter,
  type Snapshotter,
} from "../../src/snapshotters/index.js";
import { containerdBtrfs, containerdNative, containerdOverlayfs } from "./containerd-factory.js";
import {
  suiteBinding as binding,
  btrfsFolder,
  btrfsKeeping,
  memoryFolder,
  nativeKeeping,
  overlayKeeping,
  overSocket,
  type PlaceFor,
  type StoredPlace,
  stored,
} from "./factories.js";
import { nowNanoseconds as now, openLazySnapshotter, syncFileSystem } from "./lazy-rig.js";
import type { SuiteSnapshotter, SuiteTraits } from "./suite-case.js";

export interface SuiteRow extends Partial<SuiteTraits> {
  readonly make: () => Promise<SuiteSnapshotter>;
}

/** What all have whose rows are ours. Our metadata's keys can't hold the lowest characters. */
const ours = { cancels: true, walksInOrder: true, queuesCommits: true, texts: "backend" } as const;

function points(...kinds: readonly string[]): readonly string[] {
  const own = ["create", "commit", "remove", ...kinds].map((kind) => `snapshots.${kind}.`);
  return failurePointNames().filter((name) => own.some((prefix) => name.startsWith(prefix)));
}

/** With what removed rows leave taken away, as the daemon's garbage collection does. */
async function openNamespaced(place: StoredPlace): Promise<Snapshotter> {
  const name = "overlayfs";
  const snapshotter = await createOverlayfsSnapshotter({ ...place, name, now, syncFileSystem, binding });
  const namespaced = namespacedSnapshotter({ metadata: place.metadata, snapshotter, name, now });
  const own = namespaced.for({ namespace: "suite" });
  return {
    stat: async (key) => await own.stat(key),
    update: async (request) => await own.update(request),
    usage: async (key, options) => await own.usage(key, options),
    mounts: async (key, options) => await own.mounts(key, options),
    prepare: async (request) => await own.prepare(request),
    view: async (request) => await own.view(request),
    commit: async (request) => await own.commit(request),
    remove: async (key) => await own.remove(key),
    walk: (filters) => own.walk(filters),
    cleanup: async () => {
      await namespaced.sweep();
      await own.cleanup();
    },
    close: async () => await snapshotter.close(),
  };
}

// On disk and in memory by turns: a disk shows what a missing sync loses, memory costs no time.
const overlayfs = (folder?: PlaceFor) =>
  stored({
    open: async (place) =>
      await createOverlayfsSnapshotter({ ...place, name: "overlayfs", now, syncFileSystem, binding }),
    keeping: overlayKeeping,
    folder,
  });
const native = (folder?: PlaceFor) =>
  stored({
    open: async (place) =>
      await createNativeSnapshotter({ ...place, name: "native", now, syncFileSystem, binding }),
    keeping: nativeKeeping,
    folder,
  });
const btrfs = stored({
  open: async (place) => await createBtrfsSnapshotter({ ...place, name: "btrfs", now, binding }),
  keeping: btrfsKeeping,
  folder: btrfsFolder,
});
const lazy = (folder?: PlaceFor) => stored({ open: openLazySnapshotter, keeping: overlayKeeping, folder });
const namespaced = stored({ open: openNamespaced, keeping: overlayKeeping, folder: memoryFolder });
const proxy = (address: string) => createProxySnapshotter({ address, name: "lazuli" });

const overlayTraits = { ...ours, rebases: true, usage: "own", failurePoints: points("overlay") } as const;
const nativeTraits = { ...ours, usage: "tree", failurePoints: points("native") } as const;
const btrfsTraits = { ...ours, usage: "difference", failurePoints: points("btrfs") } as const;

/** Every snapshotter that the suite describes. */
export const suiteTable = {
  "lazy, direct": { make: lazy(), ...overlayTraits },
  "lazy, over a socket": { make: overSocket(lazy(memoryFolder)), ...overlayTraits },
  "overlayfs, direct": { make: overlayfs(), ...overlayTraits },
  "overlayfs, over a socket": { make: overSocket(overlayfs(memoryFolder)), ...overlayTraits },
  "overlayfs, by our proxy": { make: overSocket(overlayfs(memoryFolder), proxy), ...overlayTraits },
  "overlayfs, of a namespace": {
    make: namespaced,
    ...overlayTraits,
    texts: "namespaced",
    failurePoints: points("overlay", "namespaced", "sweep"),
  },
  "native, direct": { make: native(), ...nativeTraits },
  "native, over a socket": { make: overSocket(native(memoryFolder)), ...nativeTraits },
  "btrfs, direct": { make: btrfs, ...btrfsTraits },
  "btrfs, over a socket": { make: overSocket(btrfs), ...btrfsTraits },
  "containerd's overlayfs": containerdOverlayfs(),
  "containerd's native": containerdNative(),
  "containerd's btrfs": containerdBtrfs(),
  "containerd's overlayfs, by our proxy": containerdOverlayfs((address, names) =>
    createProxySnapshotter({
      address,
      name: names.snapshotter,
      context: () => ({ namespace: names.namespace }),
    }),
  ),
} satisfies Readonly<Record<string, SuiteRow>>;

export type SuiteRowName = keyof typeof suiteTable;
