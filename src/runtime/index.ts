/**
 * Shims, tasks and sandboxes: the contracts of those who run them, and the ones that are built in.
 *
 *     const shimEvents = await serveShimEvents({ socketPath: `${address}.ttrpc`, mode: 0o600, events });
 *     const tasks = await openTaskManager({ folders: { root, state }, address, eventsAddress, events, … });
 *     const pid = await tasks.create({ namespace, id, runtime: "io.containerd.runc.v2", spec, rootfs: mounts, io, … });
 *     await tasks.start({ namespace, id, execId: "" });
 *     const { exitStatus } = await tasks.wait({ namespace, id, execId: "" }, { signal });
 *     await tasks.delete({ namespace, id });
 *
 * Shims outlive us: opening the manager again finds their tasks by the bundles in `state`.
 */
export type * from "./contract.js";
export { serveShimEvents } from "./event-messages.js";
export { openProxySandboxes, type ProxySandboxesOptions } from "./proxy-sandboxes.js";
export type * from "./sandbox-contract.js";
export { openShimSandboxes, type ShimSandboxes, type ShimSandboxesOptions } from "./shim-sandboxes.js";
export { openTaskManager, type TaskManagerOptions } from "./task-manager.js";
export type { RuntimeTimeouts } from "./timeouts.js";
