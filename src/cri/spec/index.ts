/**
 * OCI specs of pods and containers from CRI configs, as containerd builds them. What is read from the node comes in through
 * a SpecHost: linuxHost() is the real one.
 *
 *     const { spec, processLabel } = await podSpec({ id, config, netns, userns, rootfsPath, args, imageName, files, runtime, settings, host });
 *     const { spec, cdiDevices, volumes, processLabel } = await containerSpec({ id, config, imageConfig, imageName, accounts, pod, volumesFolder, mountImage, isCdiEnabled, runtime, settings, host });
 *     const updated = updatedResources({ spec, resources, settings, facts: await host.facts() });  // RuntimeSpec; its linux.resources go to the task
 *     const process = execProcess({ spec, command, isTerminal });  // ProcessSpec
 *     const mapping = userMappings(config.linux?.securityContext?.namespaceOptions?.usernsOptions);  // for the snapshots' labels
 */
export type * from "./contract.js";
