/**
 * gRPC clients of Unix sockets.
 *
 *     using connection = grpcOverSocket("/run/containerd/containerd.sock");
 *     const version = createClient(Version, connection.transport);
 */
export { type GrpcConnection, type GrpcOptions, grpcOverSocket } from "./grpc-over-socket.js";
