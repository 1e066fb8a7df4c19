import { normalize } from "node:path/posix";
import type {
  HookName,
  RuntimeDevice,
  RuntimeDeviceRule,
  RuntimeHook,
  RuntimeMount,
  RuntimeResources,
  RuntimeSpec,
} from "./runtime-spec.js";

/** Sets variables of the process: one that is there keeps its place. */
export function setEnvironment(spec: RuntimeSpec, variables: readonly string[]): void {
  spec.process ??= {};
  const environment = spec.process.env ?? [];
  const places = new Map(environment.map((variable, index) => [nameOf(variable), index]));
  for (const variable of variables) {
    const place = places.get(nameOf(variable)) ?? environment.length;
    environment[place] = variable;
    places.set(nameOf(variable), place);
  }
  spec.process.env = environment;
}

/** The part of NAME=value before the first equals sign. */
export function nameOf(variable: string): string {
  const end = variable.indexOf("=");
  return end < 0 ? variable : variable.slice(0, end);
}

/** Adds a device instead of the one at its path. */
export function putDevice(spec: RuntimeSpec, device: RuntimeDevice): void {
  removeDevice(spec, device.path);
  spec.linux ??= {};
  spec.linux.devices = [...(spec.linux.devices ?? []), device];
}

export function removeDevice(spec: RuntimeSpec, path: string): void {
  // Go writes null for some of what is absent.
  if (!spec.linux?.devices) return;
  spec.linux.devices = spec.linux.devices.filter((device) => device.path !== path);
}

/** Adds a rule to the cgroup's devices; later rules stand above earlier ones. */
export function addDeviceRule(spec: RuntimeSpec, rule: RuntimeDeviceRule): void {
  const resources = resourcesOf(spec);
  resources.devices = [...(resources.devices ?? []), rule];
}

export function resourcesOf(spec: RuntimeSpec): RuntimeResources {
  spec.linux ??= {};
  spec.linux.resources ??= {};
  return spec.linux.resources;
}

/** Adds a mount instead of the one at its destination. */
export function putMount(spec: RuntimeSpec, mount: RuntimeMount): void {
  removeMount(spec, mount.destination);
  spec.mounts = [...(spec.mounts ?? []), mount];
}

export function removeMount(spec: RuntimeSpec, destination: string): void {
  if (!spec.mounts) return;
  spec.mounts = spec.mounts.filter((mount) => mount.destination !== destination);
}

/** Parents before what is mounted into them; those of the same depth keep their order. */
export function sortMounts(spec: RuntimeSpec): void {
  spec.mounts?.sort((left, right) => depthOf(left) - depthOf(right));
}

function depthOf({ destination }: RuntimeMount): number {
  const path = normalize(destination);
  const trimmed = path.length > 1 && path.endsWith("/") ? path.slice(0, -1) : path;
  return trimmed.split("/").length;
}

export function addHooks(spec: RuntimeSpec, name: HookName, hooks: readonly RuntimeHook[]): void {
  if (hooks.length === 0) return;
  spec.hooks ??= {};
  spec.hooks[name] = [...(spec.hooks[name] ?? []), ...hooks];
}
