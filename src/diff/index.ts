/**
 * Layers to trees and trees to layers, as containerd's applier and walking differ.
 *
 *     const differ = await createLayerDiffer({ binding, processors, scratch: "/var/lib/lazuli/diff", now });
 *     const uncompressed = await differ.apply({ layer, blob, mounts, syncFs: false, signal });
 *     const made = await differ.compare({ lower, upper, mediaType: "", ref: "", labels: {}, content, signal });
 *
 * Trees may be lazy: nothing in a mount is touched on the JS thread or in libuv's pool. All of a call's reading, making
 * and walking is one call of the addon on a thread of its own.
 */
export type { DiffBinding } from "./apply-layer.js";
export type { CompareParts } from "./compare-trees.js";
export type { ApplyLayer, CompareTrees, LayerDescriptor, LayerDiffer } from "./contract.js";
export { differsInOrder } from "./differs-in-order.js";
export { createLayerDiffer } from "./layer-differ.js";
export { createProxyDiffer } from "./proxy-differ.js";
