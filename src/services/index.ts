/**
 * The gRPC services: messages in, core calls out.
 *
 *     const routes = [snapshotsService(snapshotter), nodeService({ version, engine, snapshotter, ladder, counters })];
 *     const server = await serveGrpc({ socketPath, mode: 0o600, routes });
 */
export { type LadderStep, type NodeServiceOptions, nodeService } from "./node-service.js";
export { answer, rpcError } from "./rpc-error.js";
export { type GrpcServer, type ServeGrpcOptions, serveGrpc } from "./serve-grpc.js";
export { infoMessage, mountMessages, nanosecondsOf, timestampOf } from "./snapshot-messages.js";
export { snapshotsService } from "./snapshots-service.js";
