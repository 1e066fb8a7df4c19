/**
 * Calls that fail on demand, as on a full or broken disk, in a process that is started with the library preloaded.
 *
 *     const child = spawn(process.execPath, [program], { env: { ...process.env, ...(await faultEnvironment(options)) } });
 */
export { buildFaults } from "./build-faults.js";
export { faultEnvironment } from "./fault-environment.js";
export { type FaultKind, FaultSwitch, faultKinds } from "./fault-switch.js";
