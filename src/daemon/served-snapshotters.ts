import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { NativeBinding } from "../fuse/index.js";
import type { Metadata } from "../metadata/index.js";
import type { PluginFacts } from "../services/index.js";
import {
  createBtrfsSnapshotter,
  createNativeSnapshotter,
  createOverlayfsSnapshotter,
  type LazySnapshotter,
  type Snapshotter,
} from "../snapshotters/index.js";
import type { Config } from "./config-keys.js";
import { type OwnSnapshotter, ownSnapshotters } from "./config-snapshotters.js";
import { ensurePrivateFolder } from "./folders.js";
import { openOverlayParts } from "./overlay-parts.js";
import { recordKind } from "./snapshotter-kinds.js";
import type { Startup } from "./startup.js";

/** A snapshotter under the name that clients ask for. */
export interface ServedSnapshotter {
  readonly name: string;
  readonly isLazy: boolean;
  readonly snapshotter: Snapshotter;
  /** Socket of its own. */
  readonly address: string | undefined;
  readonly plugin: Pick<PluginFacts, "capabilities" | "exports">;
}

export interface ServedParts {
  readonly config: Config;
  readonly metadata: Metadata;
  readonly binding: NativeBinding;
  /** The lazy one, which the node has in any case. */
  readonly snapshotter: LazySnapshotter;
  readonly lazyCapabilities: readonly string[];
}

/** Opens our snapshotters that the config wants. @throws what one of them throws; the caller stops the startup */
export async function startOwnSnapshotters(
  startup: Startup,
  parts: ServedParts & { readonly lazyName: string },
): Promise<ServedSnapshotter[]> {
  const served: ServedSnapshotter[] = [];
  for (const own of ownSnapshotters(parts.config, parts.lazyName)) {
    const { name, type, address } = own;
    await recordKind(parts.metadata, name, type);
    if (address !== undefined) await mkdir(dirname(address), { recursive: true });
    if (type === "lazy") {
      const exports = { root: parts.config.root, enable_remote_snapshot_annotations: "true" };
      const plugin = { capabilities: parts.lazyCapabilities, exports };
      served.push({ name, isLazy: true, snapshotter: parts.snapshotter, address, plugin });
      continue;
    }
    const root = own.root ?? join(parts.config.root, "snapshotters", name);
    const { snapshotter, capabilities } = await startup.part(
      `snapshotter ${name}`,
      async () => await openStored(parts, { ...own, root }),
      (opened) => opened.snapshotter.close(),
    );
    const plugin = { capabilities, exports: { root } };
    served.push({ name, isLazy: false, snapshotter, address, plugin });
  }
  return served;
}

async function openStored(
  parts: ServedParts,
  own: OwnSnapshotter & { readonly root: string },
): Promise<{ snapshotter: Snapshotter; capabilities: readonly string[] }> {
  const { metadata, binding, config } = parts;
  const { name, type, root, syncRemove, upperdirLabel } = own;
  await ensurePrivateFolder(root);
  const removal =
    syncRemove === undefined ? undefined : syncRemove ? ("at-once" as const) : ("at-cleanup" as const);
  const common = {
    name,
    root,
    binding,
    metadata,
    now: () => binding.realtimeNanoseconds(),
    syncFileSystem: (path: string) => binding.fileSteps([{ kind: "syncFileSystem", path }]),
    removal,
  };
  if (type === "btrfs") return { snapshotter: await createBtrfsSnapshotter(common), capabilities: [] };
  if (type === "native") return { snapshotter: await createNativeSnapshotter(common), capabilities: [] };
  const overlayParts = await openOverlayParts({ ...own, binding, state: config.state });
  const { capabilities } = overlayParts;
  return {
    snapshotter: await createOverlayfsSnapshotter({ ...common, ...overlayParts, showsUpper: upperdirLabel }),
    capabilities,
  };
}
