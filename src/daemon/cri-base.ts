import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { DeviceRegistry } from "../cdi/index.js";
import type { NamespacedContent } from "../content/index.js";
import {
  type CriFolders,
  CriStore,
  criImages,
  linuxHost,
  openRuntimeHandlers,
  PodNetworks,
  parseBaseSpec,
  type RuntimeHandlers,
  type ServedImages,
} from "../cri/index.js";
import type { LayerDiffer } from "../diff/index.js";
import type { EventExchange } from "../events/index.js";
import { LeaseTable } from "../metadata/index.js";
import type { Nri } from "../nri/index.js";
import type { SandboxController, TaskManager } from "../runtime/index.js";
import type { CollectionTrigger, DeprecationWarning } from "../services/index.js";
import type { NamespacedSnapshotter } from "../snapshotters/index.js";
import { machineArchitecture } from "../spec/index.js";
import type { Transferrer } from "../transfer/index.js";
import type { Config } from "./config-keys.js";
import type { NodeParts } from "./node-parts.js";
import type { ServedSnapshotter } from "./served-snapshotters.js";
import type { Startup } from "./startup.js";

export interface CriPartsOptions extends Pick<NodeParts, "metadata" | "binding" | "engine"> {
  readonly config: Config;
  readonly version: string;
  readonly events: EventExchange;
  readonly content: NamespacedContent;
  readonly transferrer: Transferrer;
  readonly differ: LayerDiffer;
  readonly snapshotters: ReadonlyMap<string, NamespacedSnapshotter>;
  readonly served: readonly ServedSnapshotter[];
  readonly collection: CollectionTrigger;
  /** Without NRI: CRI asks the plugins itself. */
  readonly tasks: TaskManager;
  readonly controllers: ReadonlyMap<string, SandboxController>;
  readonly nri: Nri | undefined;
  readonly devices: DeviceRegistry;
  readonly deprecations: () => readonly DeprecationWarning[];
}

/** What pods, containers, images and the status of the node share. */
export interface CriBase {
  readonly options: CriPartsOptions;
  readonly folders: CriFolders;
  readonly store: CriStore;
  readonly leases: LeaseTable;
  readonly images: ServedImages;
  readonly handlers: RuntimeHandlers;
  readonly host: ReturnType<typeof linuxHost>;
  readonly networks: PodNetworks;
  /** Nanoseconds since 1970. */
  readonly now: () => bigint;
}

const NETNS_FOLDER = "/var/run/netns";

export async function startCriBase(startup: Startup, options: CriPartsOptions): Promise<CriBase> {
  const { config, metadata, binding, tasks } = options;
  const now = (): bigint => binding.realtimeNanoseconds();
  const folders = { root: join(config.root, "cri"), state: join(config.state, "cri") };
  const store = new CriStore({ metadata, now });
  const images = await startup.part(
    "images of pods",
    () => imagesOf(options),
    (opened) => opened[Symbol.dispose](),
  );
  const handlers = await startup.part("runtimes of pods", () =>
    openRuntimeHandlers({
      tables: config.criRuntimes,
      defaultName: config.criRuntime.defaultRuntimeName,
      tasks,
      readBaseSpec: async (path) => parseBaseSpec(await readFile(path)),
    }),
  );
  const host = linuxHost({
    selinuxCategoryRange: config.criRuntime.selinuxCategoryRange,
    podLabels: () => store.pods.list().map(({ record }) => record.processLabel),
  });
  const networks = new PodNetworks({
    binding,
    handlers,
    confFolder: config.criCni.confDir,
    pluginFolders: config.criCni.binDirs,
    confMax: config.criCni.maxConfNum,
    stateFolder: join(folders.root, "networks"),
    netnsFolder: config.criRuntime.netnsMountsUnderStateDir ? join(folders.state, "netns") : NETNS_FOLDER,
    preference: config.criCni.ipPreference ?? "ipv4",
  });
  const leases = new LeaseTable({ metadata, now });
  return { options, folders, store, leases, images, handlers, host, networks, now };
}

function imagesOf(options: CriPartsOptions): ServedImages {
  const { config, metadata, binding } = options;
  const ofHandlers = Object.entries(config.criRuntimes).flatMap(([name, { snapshotter }]) =>
    snapshotter === undefined ? [] : [[name, snapshotter] as const],
  );
  return criImages({
    metadata,
    content: options.content,
    transferrer: options.transferrer,
    events: options.events,
    collection: options.collection,
    platform: { os: "linux", architecture: machineArchitecture() },
    snapshotter: config.criImages.snapshotter,
    handlerSnapshotters: new Map(ofHandlers),
    pinned: Object.values(config.criImages.pinnedImages),
    discardsUnpackedLayers: config.criImages.discardUnpackedLayers,
    progressTimeoutMs: config.criImages.imagePullProgressTimeoutMs,
    now: () => binding.realtimeNanoseconds(),
  });
}
