/**
 * ttrpc: small calls over one connection, as shims and NRI plugins speak them. Unary calls only.
 *
 *     const client = await connectTtrpc({ path: "/run/containerd/s/…" });
 *     const { shimPid } = await client.call(Task.method.connect, { id }, { timeoutMs: 5_000 });
 *
 *     const events = ttrpcService(Events, { forward: async ({ envelope }) => ({}) });
 *     const server = await serveTtrpc({ socketPath, mode: 0o600, services: [events] });
 */
export { connectTtrpc, type TtrpcCallOptions, type TtrpcClient, ttrpcClientOver } from "./client.js";
export { type Listener, type ListenOptions, listenOnSocket } from "./listen.js";
export { type ServeTtrpcOptions, serveTtrpc, type TtrpcServer } from "./server.js";
export { serveTtrpcOver, type TtrpcConnection } from "./server-connection.js";
export { type TtrpcCallContext, type TtrpcHandlers, type TtrpcService, ttrpcService } from "./service.js";
