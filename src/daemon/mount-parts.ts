import { join } from "node:path";
import type { NativeBinding } from "../fuse/index.js";
import { type Collectible, readLabel } from "../gc/index.js";
import {
  containers,
  contents,
  images,
  leases,
  type Metadata,
  namespacedSnapshots,
} from "../metadata/index.js";
import { type HeldActivation, type MountManager, openMountManager } from "../mounts/index.js";
import type { ActivationsInUse } from "./activated-differ.js";
import type { Config } from "./config-keys.js";
import type { Startup } from "./startup.js";

/** As containerd names the part, whose other files lie elsewhere. */
const FOLDER = "io.containerd.mount-manager.v1.bolt";

/** The mount manager, with what was activated before. */
export async function startMountManager(
  startup: Startup,
  { config, binding }: { readonly config: Config; readonly binding: NativeBinding },
): Promise<MountManager> {
  return await startup.part("mount manager", () =>
    openMountManager({
      binding,
      folder: join(config.state, FOLDER, "t"),
      roots: [config.root],
      now: () => binding.realtimeNanoseconds(),
    }),
  );
}

/**
 * The activations as nodes of the graph, by their names. Beside labels `containerd.io/gc.ref.mount` of others, what keeps
 * one is its lease, and each thing that its own labels `containerd.io/gc.bref.*` name.
 */
export function activationNodes({
  metadata,
  manager,
  inUse,
}: {
  readonly metadata: Metadata;
  readonly manager: MountManager;
  readonly inUse: ActivationsInUse;
}): Collectible {
  return {
    label: "mount",
    all: async () => [...new Set(manager.list().map(({ name }) => name))],
    ofSnapshot: () => [],
    remove: async (key, isKept) => {
      let isRemoved = false;
      for (const activation of manager.list().filter(({ name }) => name === key)) {
        if (isKept() || inUse.has(key) || isHeld(metadata, activation)) continue;
        await manager.deactivate(activation);
        isRemoved = true;
      }
      return isRemoved;
    },
  };
}

function isHeld(metadata: Metadata, { namespace, labels, lease }: HeldActivation): boolean {
  if (lease !== undefined && metadata.get(leases, [namespace, lease]) !== undefined) return true;
  return Object.entries(labels).some(([label, value]) => {
    const meaning = readLabel(label, value);
    return meaning?.kind === "from" && isThere(metadata, namespace, meaning);
  });
}

function isThere(
  metadata: Metadata,
  namespace: string,
  { sort, key }: { readonly sort: string; readonly key: string },
): boolean {
  if (sort === "container") return metadata.get(containers, [namespace, key]) !== undefined;
  if (sort === "content") return metadata.get(contents, [namespace, key]) !== undefined;
  if (sort === "image") return metadata.get(images, [namespace, key]) !== undefined;
  if (!sort.startsWith("snapshot/")) return false;
  return metadata.get(namespacedSnapshots, [namespace, sort.slice("snapshot/".length), key]) !== undefined;
}
