import { join } from "node:path";
import {
  type ContentStore,
  type LogicalSource,
  layerBlobSource,
  openLocalStore,
  proxyContentStore,
  type RepairSource,
} from "../content/index.js";
import type { Config } from "./config-keys.js";
import type { NodeParts } from "./node-parts.js";
import { proxied } from "./proxied-parts.js";
import { startScrubbing } from "./scrubbing.js";
import type { Startup } from "./startup.js";

export interface ContentPartsOptions extends Pick<NodeParts, "binding" | "engine" | "registry"> {
  readonly config: Config;
}

/** Of a containerd that has no namespace of its own for us. */
const NAMESPACE = "default";
/** In a containerd, what no image leads to is collected unless it has this label. */
const heldLabels = { "containerd.io/gc.root": "lazuli" } as const;

export interface ContentParts {
  readonly store: ContentStore;
  /** Blobs of lazy layers. */
  readonly source: LogicalSource;
}

/** The store that the config plugs in, or else our own with its scrubbing. */
export async function startContent(startup: Startup, options: ContentPartsOptions): Promise<ContentParts> {
  const { config, binding, engine, registry } = options;
  const source = layerBlobSource({ layers: engine, registry });
  const plugin = proxied(config, "content")[0];
  if (plugin !== undefined) {
    const [name, { address, namespace, callTimeoutMs }] = plugin;
    const store = await startup.part(
      `content store ${name}`,
      () =>
        proxyContentStore({
          socketPath: address,
          namespace: namespace ?? NAMESPACE,
          callTimeoutMs,
          ...(namespace === undefined ? {} : { addedLabels: heldLabels }),
        }),
      (opened) => opened[Symbol.asyncDispose](),
    );
    return { store, source };
  }
  const store = await startup.part(
    "content store",
    () =>
      openLocalStore({
        root: join(config.root, "content"),
        now: () => binding.realtimeNanoseconds(),
        fileSteps: binding.fileSteps,
        repairFrom: repairSource(source),
      }),
    (opened) => opened.close(),
  );
  await startup.part(
    "scrubbing",
    () =>
      config.content.scrub
        ? startScrubbing({ store, bytesPerSecond: config.content.scrubBytesPerSecond })
        : undefined,
    (started) => started?.close(),
  );
  return { store, source };
}

/** Blobs that the registry of a lazy layer has can be had again. */
function repairSource(source: LogicalSource): RepairSource {
  return async (digest, { signal }) => {
    const blob = source.find(digest);
    if (blob === undefined) return undefined;
    const opened = await source.open(digest, { signal });
    return opened.readRange({ offset: 0, length: blob.size, signal });
  };
}
