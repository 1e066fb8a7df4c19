/**
 * Images for benchmarks: made of Debian's packages or copied, and put into a registry in each format.
 *
 *     const image = await publish({ workload, cacheFolder, host: "127.0.0.1:5000", tell, signal });
 */
export { type ImageFormat, imageFormats, type PublishedImage, publish } from "./publish.js";
export { publishLayers } from "./publish-layers.js";
export { type LayoutConfig, type WriteLayoutOptions, writeLayout } from "./write-layout.js";
