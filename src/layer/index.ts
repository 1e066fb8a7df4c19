/**
 * The engine: lazy layers with their index, data file and mounts.
 */
export type { LayerEngine, LayerOrigin, LayerRequest, LayerStatus, LayerUsage } from "./contract.js";
