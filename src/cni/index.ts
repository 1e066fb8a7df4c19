/**
 * Pod networks by CNI plugins (github.com/containernetworking/cni, SPEC.md 1.1), and the namespaces they work in.
 *
 *     const cni = openCni({ confFolder: "/etc/cni/net.d", pluginFolders: ["/opt/cni/bin"], stateFolder, confMax: 1 });
 *     const namespaces = await pinNamespaces({ binding, network: "/run/netns/cni-1" });
 *     const { addresses } = await cni.add({ id, netns: namespaces.network, args, capabilities, signal });
 *     await cni.remove({ id, netns: namespaces.network, args, capabilities, signal });
 *     await unpinNamespace({ binding, path: namespaces.network });
 */
export { type Attachment, type Cni, type CniOptions, type CniStatus, openCni } from "./cni.js";
export type { NetworkList } from "./network-list.js";
export { type PinNamespacesOptions, pinNamespaces, unpinNamespace } from "./pin-namespaces.js";
export type { CniAddress, CniDns, CniInterface, CniResult } from "./result.js";
