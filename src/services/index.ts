/**
 * The gRPC services: messages in, core calls out.
 *
 *     const routes = [snapshotsService(snapshotter), nodeService({ version, engine, snapshotter, ladder, counters })];
 *     const server = await serveGrpc({ socketPath, mode: 0o600, routes });
 */

export type { CollectionTrigger } from "./collection-trigger.js";
export { type ContainersServiceOptions, containersService } from "./containers-service.js";
export { contentService } from "./content-service.js";
export { type DiffServiceOptions, diffService } from "./diff-service.js";
export { eventsService } from "./events-service.js";
export { type ImagesServiceOptions, imagesService } from "./images-service.js";
export {
  type DeprecationWarning,
  type IntrospectionServiceOptions,
  introspectionService,
  type PluginFacts,
} from "./introspection-service.js";
export { type LeasesServiceOptions, leasesService } from "./leases-service.js";
export { mountsService } from "./mounts-service.js";
export { type NamespacesServiceOptions, namespacesService } from "./namespaces-service.js";
export type { NodeCollection } from "./node-collection.js";
export { type BudgetRow, type LadderStep, type NodeServiceOptions, nodeService } from "./node-service.js";
export { type CallScope, type ObservedCall, observeCalls } from "./observe-calls.js";
export { type RequestContext, requestContext } from "./request-context.js";
export { answer, rpcError } from "./rpc-error.js";
export { runtimeInfo } from "./runtime-info.js";
export {
  type SandboxControllerServiceOptions,
  sandboxControllerService,
} from "./sandbox-controller-service.js";
export { sandboxStoreService } from "./sandbox-store-service.js";
export { type GrpcServer, type ServeGrpcOptions, serveGrpc } from "./serve-grpc.js";
export { infoMessage, mountMessages, nanosecondsOf, timestampOf } from "./snapshot-messages.js";
export { type SnapshotterOf, snapshotsService, snapshotsServiceOf } from "./snapshots-service.js";
export { streamingService } from "./streaming-service.js";
export { type TasksServiceOptions, tasksService } from "./tasks-service.js";
export { type TracesServiceOptions, tracesService } from "./traces-service.js";
export { type TransferServiceOptions, transferService } from "./transfer-service.js";
export { versionService } from "./version-service.js";
