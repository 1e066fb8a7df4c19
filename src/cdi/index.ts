/**
 * CDI: devices by name (vendor/class=name) from spec files of the node, put into a container's OCI runtime spec.
 *
 *     const devices = openDeviceRegistry({ folders: ["/etc/cdi", "/var/run/cdi"] });
 *     const spec = await devices.inject(runtimeSpec, devicesOfAnnotations(annotations));
 */
export { devicesOfAnnotations } from "./device-name.js";
export {
  type CdiInventory,
  type CdiProblem,
  type DeviceRegistry,
  openDeviceRegistry,
} from "./device-registry.js";
export {
  addDeviceRule,
  addHooks,
  nameOf,
  putDevice,
  putMount,
  removeDevice,
  removeMount,
  resourcesOf,
  setEnvironment,
  sortMounts,
} from "./edit-spec.js";
export * from "./runtime-spec.js";
export { parseRuntimeJson, runtimeJson } from "./spec-json.js";
