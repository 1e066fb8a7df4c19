/**
 * The engine: lazy layers with their index, data file, scheduler and mounts.
 *
 *     const engine = await openLayerEngine({ binding: loadBinding(), root, state, openSourceFor, … });
 *     await engine.ensure(request, { signal });
 *     const folder = await engine.mountPoint(request.digest);
 */
export type { BudgetFigures } from "./budgets.js";
export type {
  EstargzIndex,
  FineIndex,
  LayerEngine,
  LayerFormat,
  LayerIndexSource,
  LayerOrigin,
  LayerOwner,
  LayerRequest,
  LayerStatus,
  LayerUsage,
  LoadedTable,
  LoadedZtoc,
  LoadOptions,
  SociIndex,
  WholeBlob,
  ZstdChunkedIndex,
} from "./contract.js";
export {
  completeChannel,
  corruptChannel,
  demandChannel,
  ensuredChannel,
  type FetchPriority,
  failedChannel,
  fetchedChannel,
  fillJumpedChannel,
  mountedChannel,
  replayEndedChannel,
  replayMeasuredChannel,
  retryChannel,
} from "./events.js";
export { FileMaps, type LayerUnits } from "./file-map.js";
export type { FilePart, FoundPart } from "./file-map-contract.js";
export { type LayerEngineOptions, type OpenLayerEngine, openLayerEngine } from "./layer-engine.js";
export { layerSmall } from "./make-layer.js";
export type { Rung } from "./mount-ladder.js";
export type {
  ReplayFigures,
  ReplayHandle,
  ReplayMeasure,
  ReplayPart,
  ReplayPlan,
  ReplayRange,
  ReplayState,
} from "./replay-contract.js";
export type { SchedulerFigures } from "./scheduler.js";
export { StartRecorder, type StartRecorderOptions, type TracedEngine } from "./trace-recorder.js";
export type { RecordedStart } from "./trace-recording.js";
