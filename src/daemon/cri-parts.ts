import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { ConnectRouter } from "@connectrpc/connect";
import type { DeviceRegistry } from "../cdi/index.js";
import type { NamespacedContent } from "../content/index.js";
import {
  CRI_NAMESPACE,
  CriEventQueue,
  type CriFolders,
  CriStore,
  criImages,
  criStats,
  findRunner,
  idleLayers,
  imageService,
  linuxHost,
  makePauseRootfs,
  nodeCalls,
  openContainers,
  openRuntimeHandlers,
  PausePods,
  PodNetworks,
  type PodParts,
  type PodRunner,
  Pods,
  parseBaseSpec,
  podFolders,
  recover,
  runtimeService,
  type ServedImages,
  ShimPods,
  SnapshotUsages,
  type StreamServer,
  startStreamServer,
} from "../cri/index.js";
import type { LayerDiffer } from "../diff/index.js";
import type { EventExchange } from "../events/index.js";
import { LeaseTable } from "../metadata/index.js";
import type { Nri, NriState } from "../nri/index.js";
import type { SandboxController, TaskManager } from "../runtime/index.js";
import type { CollectionTrigger, DeprecationWarning } from "../services/index.js";
import type { NamespacedSnapshotter } from "../snapshotters/index.js";
import { machineArchitecture } from "../spec/index.js";
import type { Transferrer } from "../transfer/index.js";
import type { Config } from "./config-keys.js";
import { streamOptions } from "./cri-streams.js";

import { findSnapshotter } from "./find-snapshotter.js";
import type { NodeParts } from "./node-parts.js";
import { pauseProgram } from "./pause-program.js";
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

export interface CriParts {
  readonly routes: readonly ((router: ConnectRouter) => void)[];
  /** What runs, for a plugin that comes. */
  readonly nriState: () => Promise<NriState>;
}

/** Kubernetes' runtime: shows what runs on from before, and serves kubelets. */
export async function startCri(startup: Startup, options: CriPartsOptions): Promise<CriParts> {
  const { config, metadata, binding, tasks, nri } = options;
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
  const events: CriEventQueue = new CriEventQueue({
    store,
    statusOf: (one) => containers.statusOf(one),
    now,
  });
  let streams: StreamServer | undefined;
  const containers = await startup.part(
    "containers",
    () =>
      openContainers({
        store,
        images,
        handlers,
        tasks,
        snapshotters: options.snapshotters,
        leases,
        differ: options.differ,
        contentOf: (lease) => options.content.for({ namespace: CRI_NAMESPACE, lease }),
        events: options.events,
        criEvents: events,
        nri,
        nriPod: (pod) => pods.nriPodOf(pod),
        devices: options.devices,
        isCdiEnabled: config.cdi.isEnabled,
        settings: config.criRuntime,
        host,
        podFilesOf: (id) => podFolders(folders, id),
        folders,
        binding,
        streams: () => streams!,
        now,
      }),
    (opened) => opened[Symbol.asyncDispose](),
  );
  const runners = await startup.part("pods' holders", () =>
    runnersOf({ options, folders, images, host, now }),
  );
  const parts: PodParts = {
    store,
    leases,
    binding,
    handlers,
    networks,
    folders,
    containers,
    events,
    nri,
    runnerOf: (sandboxer) => findRunner(runners, sandboxer),
    now,
  };
  const pods = await startup.part(
    "pods",
    () => new Pods(parts),
    (opened) => opened[Symbol.asyncDispose](),
  );
  await startup.part("recovery of pods", () => recover({ parts, pods }));
  streams = await startup.part(
    "streams of pods",
    async () => await startStreamServer(await streamOptions(config, containers.streamRuntime)),
    (server) => server.close(),
  );
  const { usages, stats } = await startup.part(
    "stats of pods",
    () => statsOf(options, { store, images }),
    (started) => started.stats[Symbol.asyncDispose](),
  );
  const node = nodeCalls({
    handlers,
    defaultRuntime: config.criRuntime.defaultRuntimeName,
    networks,
    events,
    version: options.version,
    deprecations: options.deprecations,
    ignoredDeprecations: config.criRuntime.ignoreDeprecationWarnings,
    config: {
      cri: config.cri,
      images: config.criImages,
      runtime: config.criRuntime,
      runtimes: config.criRuntimes,
      cni: config.criCni,
    },
    confFolder: config.criCni.confDir,
    confTemplate: config.criCni.confTemplate,
  });
  return {
    routes: [
      runtimeService({ node, pods, containers, stats }),
      imageService({ images, usages, defaultSnapshotter: config.criImages.snapshotter }),
    ],
    nriState: async () => ({
      pods: store.pods.list().map((pod) => pods.nriPodOf(pod)),
      containers: await containers.nriContainers(),
    }),
  };
}

const NETNS_FOLDER = "/var/run/netns";
const CGROUP_FOLDER = "/sys/fs/cgroup";

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

async function runnersOf(request: {
  readonly options: CriPartsOptions;
  readonly folders: CriFolders;
  readonly images: ServedImages;
  readonly host: ReturnType<typeof linuxHost>;
  readonly now: () => bigint;
}): Promise<ReadonlyMap<string, PodRunner>> {
  const { options, folders, images, host, now } = request;
  const { config, metadata, binding, tasks } = options;
  const rootfs = join(folders.root, "pause");
  await makePauseRootfs({ folder: rootfs, program: pauseProgram() });
  const reference = config.criImages.pinnedImages["sandbox"];
  const image =
    reference === undefined || reference === DEFAULT_SANDBOX_IMAGE
      ? undefined
      : {
          reference,
          images,
          snapshotterOf: (name: string) => findSnapshotter(options.snapshotters, name),
        };
  const settings = config.criRuntime;
  const pause = new PausePods({
    metadata,
    binding,
    tasks,
    folders,
    rootfs,
    image,
    settings,
    host,
    now,
  });
  const shims = [...options.controllers].map(
    ([name, controller]) => [name, new ShimPods({ name, controller, binding, folders })] as const,
  );
  return new Map<string, PodRunner>([...shims, ["podsandbox", pause]]);
}

/** The default of containerd's key, which here stands for our own program. */
const DEFAULT_SANDBOX_IMAGE = "registry.k8s.io/pause:3.10.2";

function statsOf(options: CriPartsOptions, { store, images }: { store: CriStore; images: ServedImages }) {
  const { config, binding } = options;
  const now = (): bigint => binding.realtimeNanoseconds();
  const measured = options.served.map(({ name, isLazy, plugin }) => ({
    name,
    isLazy,
    idle: isLazy ? async () => await idleLayers(options) : undefined,
    folder: plugin.exports["root"] ?? config.root,
    snapshotter: findSnapshotter(options.snapshotters, name).for({
      namespace: CRI_NAMESPACE,
      lease: undefined,
    }),
  }));
  const usages = new SnapshotUsages({ snapshotters: measured, now });
  const stats = criStats({
    pods: store.pods,
    containers: store.containers,
    tasks: options.tasks,
    usages,
    snapshotterOf: (handler) => images.snapshotterOf(handler),
    cgroupRoot: CGROUP_FOLDER,
    collectPeriodMs: config.criImages.statsCollectPeriodSeconds * 1000,
    now,
  });
  return { usages, stats };
}
