/** A plain model of the reference graph, and random changes of rows and model alike. */
export { Model, nameOf, type Thing } from "./model.js";
export { namespaceNames, type Operation, Operations, snapshotters, tableOf } from "./operations.js";
