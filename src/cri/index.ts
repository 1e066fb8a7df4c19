/**
 * Kubernetes' CRI: pods, containers and images for a kubelet.
 *
 *     const streams = await startStreamServer({ address: "127.0.0.1", port: 0, tls: undefined, idleTimeoutMs, runtime });
 */
export { type ContainerIoOptions, openContainerIo } from "./container-io.js";
export type { ContainerSettings, ContainersOptions } from "./container-parts.js";
export { Containers, openContainers } from "./containers.js";
export type * from "./contract.js";
export { CRI_NAMESPACE } from "./contract.js";
export { CriEventQueue, type CriEventQueueOptions } from "./events.js";
export type { FsInfoOptions } from "./fs-info.js";
export { readImageLabels } from "./image-facts.js";
export { type ImageServiceOptions, imageService } from "./image-service.js";
export { type CriImagesOptions, criImages, type ServedImages } from "./images.js";
export { type CriFolders, podFolders } from "./pod-folders.js";
export { PodNetworks, type PodNetworksOptions } from "./pod-network.js";
export { findRunner, type PodParts } from "./pod-parts.js";
export { Pods } from "./pods.js";
export { PausePods, type PausePodsOptions } from "./podsandbox-pause.js";
export { makePauseRootfs } from "./podsandbox-rootfs.js";
export type { PodRunner } from "./podsandbox-runner.js";
export { ShimPods, type ShimPodsOptions } from "./podsandbox-shim.js";
export { recover } from "./recover.js";
export { openRuntimeHandlers, type RuntimeHandlersOptions } from "./runtime-handlers.js";
export { type RuntimeServiceOptions, runtimeService } from "./runtime-service.js";
export { linuxHost, parseBaseSpec } from "./spec/index.js";
export { type CriStatsOptions, criStats } from "./stats-calls.js";
export { type IdleLayersOptions, idleLayers } from "./stats-idle-layers.js";
export { type MeasuredSnapshotter, SnapshotUsages } from "./stats-usage.js";
export { type NodeStatusOptions, nodeCalls } from "./status.js";
export { renderTemplate } from "./status-template.js";
export { CriStore, type CriStoreOptions } from "./store.js";
export { type StreamServerOptions, startStreamServer } from "./streaming/index.js";
