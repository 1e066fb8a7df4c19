import type { DeviceRegistry } from "../cdi/index.js";
import type { ContentStore } from "../content/index.js";
import type { LayerDiffer } from "../diff/index.js";
import type { EventExchange } from "../events/index.js";
import type { NativeBinding } from "../fuse/index.js";
import type { LeaseTable } from "../metadata/index.js";
import type { Nri, NriPod } from "../nri/index.js";
import type { TaskManager } from "../runtime/index.js";
import type { NamespacedSnapshotter } from "../snapshotters/index.js";
import type { ContainerLives } from "./container-lives.js";
import type { CriEvents, CriImages, Pod, RuntimeHandlers, StreamServer } from "./contract.js";
import type { CriFolders } from "./pod-folders.js";
import type { PodFiles, SpecHost, SpecSettings } from "./spec/index.js";
import type { CriStore } from "./store.js";

/** Keys of `[cri.runtime]` that containers depend on: the table of the configuration fits as it is. */
export interface ContainerSettings extends SpecSettings {
  readonly maxContainerLogLineBytes: number;
  /** 0: as long as it takes. */
  readonly drainExecSyncIoTimeoutMs: number;
  readonly enableCriu: boolean;
}

export interface ContainersOptions {
  readonly store: CriStore;
  readonly images: CriImages;
  readonly handlers: RuntimeHandlers;
  /** Without NRI: containers of CRI tell plugins of their pods here. */
  readonly tasks: TaskManager;
  readonly snapshotters: ReadonlyMap<string, NamespacedSnapshotter>;
  readonly leases: LeaseTable;
  /** For what a container has changed, in its checkpoint. */
  readonly differ: Pick<LayerDiffer, "compare">;
  /** What is written is held by the lease. */
  readonly contentOf: (lease: string) => ContentStore;
  /** Of the shims: who ran out of memory. */
  readonly events: EventExchange;
  readonly criEvents: CriEvents;
  /** Undefined: NRI is disabled. */
  readonly nri: Nri | undefined;
  readonly nriPod: (pod: Pod) => NriPod;
  readonly devices: DeviceRegistry;
  readonly isCdiEnabled: boolean;
  readonly settings: ContainerSettings;
  readonly host: SpecHost;
  readonly podFilesOf: (podId: string) => PodFiles;
  readonly folders: CriFolders;
  readonly binding: NativeBinding;
  /** Called at the first request for a stream. */
  readonly streams: () => StreamServer;
  /** Nanoseconds since 1970. */
  readonly now: () => bigint;
}

/** What the calls on containers share. */
export interface ContainerParts extends ContainersOptions {
  readonly lives: ContainerLives;
}
