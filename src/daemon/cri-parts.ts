import type { ConnectRouter } from "@connectrpc/connect";
import {
  type Containers,
  CRI_NAMESPACE,
  CriEventQueue,
  findRunner,
  imageService,
  nodeCalls,
  openContainers,
  type PodParts,
  Pods,
  podFolders,
  recover,
  runtimeService,
  type StreamServer,
  startStreamServer,
} from "../cri/index.js";
import type { NriPod, NriState } from "../nri/index.js";
import { type CriBase, type CriPartsOptions, startCriBase } from "./cri-base.js";
import { podRunners } from "./cri-runners.js";
import { startStats } from "./cri-stats.js";
import { streamOptions } from "./cri-streams.js";
import type { Startup } from "./startup.js";

export interface CriParts {
  readonly routes: readonly ((router: ConnectRouter) => void)[];
  /** What runs, for a plugin that comes. */
  readonly nriState: () => Promise<NriState>;
}

/** Kubernetes' runtime: shows what runs on from before, and serves kubelets. */
export async function startCri(startup: Startup, options: CriPartsOptions): Promise<CriParts> {
  const base = await startCriBase(startup, options);
  const { store, images, networks, now } = base;
  const { config } = options;
  // Pods and containers have to know of each other; nobody asks before all are there.
  const events: CriEventQueue = new CriEventQueue({
    store,
    statusOf: (one) => containers.statusOf(one),
    now,
  });
  let streams: StreamServer | undefined;
  const containers: Containers = await startup.part(
    "containers",
    () => openContainersOf(base, { events, streams: () => streams!, nriPod: (pod) => pods.nriPodOf(pod) }),
    (opened) => opened[Symbol.asyncDispose](),
  );
  const runners = await startup.part("pods' holders", () => podRunners(base));
  const parts: PodParts = {
    ...base,
    binding: options.binding,
    containers,
    events,
    nri: options.nri,
    runnerOf: (sandboxer) => findRunner(runners, sandboxer),
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
    () => startStats(base),
    (started) => started.stats[Symbol.asyncDispose](),
  );
  const node = nodeCalls({ ...nodeOptions(base), networks, events });
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

async function openContainersOf(
  base: CriBase,
  late: {
    readonly events: CriEventQueue;
    readonly streams: () => StreamServer;
    readonly nriPod: (pod: Parameters<Pods["nriPodOf"]>[0]) => NriPod;
  },
): Promise<Containers> {
  const { options, folders } = base;
  const { config } = options;
  return await openContainers({
    ...base,
    tasks: options.tasks,
    snapshotters: options.snapshotters,
    differ: options.differ,
    contentOf: (lease) => options.content.for({ namespace: CRI_NAMESPACE, lease }),
    events: options.events,
    criEvents: late.events,
    nri: options.nri,
    nriPod: late.nriPod,
    devices: options.devices,
    isCdiEnabled: config.cdi.isEnabled,
    settings: config.criRuntime,
    podFilesOf: (id) => podFolders(folders, id),
    binding: options.binding,
    streams: late.streams,
  });
}

function nodeOptions({ options, handlers }: CriBase) {
  const { config, version, deprecations } = options;
  return {
    handlers,
    defaultRuntime: config.criRuntime.defaultRuntimeName,
    version,
    deprecations,
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
  };
}
