/**
 * What starts of containers read of their lazy layers, kept on disk.
 *
 *     const store = await openTraceStore({ folder: join(root, "traces") });
 *     using saved = traceSavedChannel.subscribe(({ id }) => void store.read(id).then(learn));
 *     const trace = await store.latest({ reference: "registry.example/library/python:3.12" });
 */
export type {
  StartTrace,
  Touch,
  TracedLayer,
  TracedRequest,
  TraceEnd,
} from "./contract.js";
export { traceDroppedChannel, traceSavedChannel } from "./events.js";
export { type TraceFigures, traceFigures } from "./figures.js";
export {
  COMMAND_ARGUMENTS_MAX,
  COMMAND_CHARACTERS_MAX,
  REQUESTS_MAX,
  TEXT_CHARACTERS_MAX,
  TOUCHES_MAX,
  TRACE_MS_MAX,
  TRACED_LAYERS_MAX,
} from "./limits.js";
export { readTraceFile, traceIds } from "./trace-files.js";
export { traceId } from "./trace-id.js";
export { decodeTrace, encodeTrace } from "./trace-json.js";
export { openTraceStore, type TraceQuery, type TraceStore, type TraceSummary } from "./trace-store.js";
