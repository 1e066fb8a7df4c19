/**
 * OCI specs of pods and containers from CRI configs, as containerd builds them. What is read from the node comes in through
 * a SpecHost: linuxHost() is the real one.
 *
 *     const host = linuxHost({ selinuxCategoryRange, podLabels: () => labels });
 *     const { spec, processLabel } = await podSpec({ id, config, netns, userns, rootfsPath, args, imageName, files, runtime, settings, host });
 *     const { spec, cdiDevices, volumes, processLabel } = await containerSpec({ id, config, imageConfig, imageName, accounts, pod, volumesFolder, mountImage, isCdiEnabled, runtime, settings, host });
 *     const updated = updatedResources({ spec, resources, settings, facts: await host.facts() });  // its linux.resources go to the task
 *     const process = execProcess({ spec, command, isTerminal });
 *     const mapping = userMappings(config.linux?.securityContext?.namespaceOptions?.usernsOptions);  // for the snapshots' labels
 */
export { parseBaseSpec } from "./base-spec.js";
export { containerSpec } from "./container-spec.js";
export type * from "./contract.js";
export { type ExecRequest, execProcess } from "./exec-process.js";
export { type LinuxHostOptions, linuxHost } from "./linux-host.js";
export { type UserMappings, userMappings } from "./namespaces.js";
export { podSpec } from "./pod-spec.js";
export { type ResourcesChange, updatedResources } from "./resources.js";
