import type { Accounts } from "./accounts.js";
import type { LinuxResources, LinuxSpec, ProcessSpec, RuntimeSpec } from "./runtime-spec.js";

/** What options may ask about the container. */
export interface SpecContext {
  readonly id: string;
  readonly namespace: string;
  /** Go's name of the image's architecture: `amd64`. */
  readonly architecture: string;
  /** Of the container's root file system. */
  readonly accounts: Accounts;
}

/** One change of a specification. Options apply in the order in which they are given. */
export type SpecOption = (spec: RuntimeSpec, context: SpecContext) => RuntimeSpec;

export function changeProcess(spec: RuntimeSpec, change: Partial<ProcessSpec>): RuntimeSpec {
  return { ...spec, process: { ...spec.process, ...change } };
}

export function changeLinux(spec: RuntimeSpec, change: Partial<LinuxSpec>): RuntimeSpec {
  return { ...spec, linux: { ...spec.linux, ...change } };
}

export function changeResources(spec: RuntimeSpec, change: Partial<LinuxResources>): RuntimeSpec {
  return changeLinux(spec, { resources: { ...spec.linux.resources, ...change } });
}
