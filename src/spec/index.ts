/**
 * OCI runtime specifications: containerd's default, changed by options. Nothing here reads files or asks a daemon.
 *
 *     const config = parseRunConfig(configBytes);
 *     const spec = buildSpec({
 *       id: "web", namespace: "default", accounts,
 *       options: [withImageConfig(config), withEnv(["A=1"]), withMemoryLimit(64 << 20), withSeccomp()],
 *     });
 */
export { type Accounts, findUser, supplementaryGroups } from "./accounts.js";
export { type BuildSpecOptions, buildSpec, machineArchitecture } from "./build-spec.js";
export { allCapabilities, capabilitiesOfMask, capabilitySets, defaultCapabilities } from "./capabilities.js";
export { DEFAULT_PATH, defaultSpec } from "./default-spec.js";
export * from "./linux-options.js";
export { parseSeccompProfile } from "./parse-seccomp.js";
export * from "./process-options.js";
export { parseRunConfig, type RunConfig } from "./run-config.js";
export type {
  CapabilitySets,
  DeviceRule,
  HugepageLimit,
  IdMap,
  LinuxDevice,
  LinuxNamespace,
  LinuxResources,
  LinuxSpec,
  ProcessSpec,
  Rlimit,
  RuntimeSpec,
  SeccompArgument,
  SeccompProfile,
  SeccompRule,
  SpecMount,
  SpecUser,
} from "./runtime-spec.js";
export { defaultSeccomp, type SeccompOptions } from "./seccomp-profile.js";
export {
  changeLinux,
  changeProcess,
  changeResources,
  type SpecContext,
  type SpecOption,
} from "./spec-option.js";
