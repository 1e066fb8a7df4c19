/**
 * Kubernetes' CRI: pods, containers and images for a kubelet.
 *
 *     const streams = await startStreamServer({ address: "127.0.0.1", port: 0, tls: undefined, idleTimeoutMs, runtime });
 */
export { type ContainerIoOptions, openContainerIo } from "./container-io.js";
export type * from "./contract.js";
export { CRI_NAMESPACE } from "./contract.js";
export { type RuntimeServiceOptions, runtimeService } from "./runtime-service.js";
export { CriStore, type CriStoreOptions } from "./store.js";
export { type StreamServerOptions, startStreamServer } from "./streaming/index.js";
