/**
 * What a measurement needs of the machine: programs run to their end, services, free ports, cold caches, and undoing it all.
 *
 *     await using cleanup = new Cleanup();
 *     const service = await startService({ program: "containerd", args: [], logFile: "/tmp/log", ready: "/tmp/sock" });
 *     cleanup.add(() => service.stop());
 */
export { Cleanup } from "./cleanup.js";
export { type CommandOptions, type CommandResult, command } from "./command.js";
export { dropCaches } from "./drop-caches.js";
export { freePort } from "./free-port.js";
export { processesOfNamespace } from "./namespace-processes.js";
export { type Service, type ServiceOptions, startService } from "./service.js";
export { unmountBelow } from "./unmount-below.js";
