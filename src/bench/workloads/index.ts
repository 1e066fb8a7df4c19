/**
 * What is started: images, commands, and the sign that they are ready.
 *
 *     const python = catalogue.find(({ name }) => name === "python");
 */
export { catalogue, SUITE } from "./catalogue.js";
export type { BuiltImage, NamedImage, Ready, Workload } from "./workload.js";
