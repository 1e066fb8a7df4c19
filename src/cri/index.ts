/**
 * Kubernetes' CRI: pods, containers and images for a kubelet.
 *
 *     const streams = await startStreamServer({ address: "127.0.0.1", port: 0, tls: undefined, idleTimeoutMs, runtime });
 */
export { type ContainerIoOptions, openContainerIo } from "./container-io.js";
export type * from "./contract.js";
export { CRI_NAMESPACE } from "./contract.js";
export type { FsInfoOptions } from "./fs-info.js";
export { type ImageServiceOptions, imageService } from "./image-service.js";
export { type CriImagesOptions, criImages, type ServedImages } from "./images.js";
export { type RuntimeServiceOptions, runtimeService } from "./runtime-service.js";
export { type CriStatsOptions, criStats } from "./stats-calls.js";
export { type MeasuredSnapshotter, SnapshotUsages } from "./stats-usage.js";
export { CriStore, type CriStoreOptions } from "./store.js";
export { type StreamServerOptions, startStreamServer } from "./streaming/index.js";
