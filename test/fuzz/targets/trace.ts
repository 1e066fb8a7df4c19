import { decodeTrace, encodeTrace, traceFigures } from "../../../src/traces/index.js";
import { refusing } from "../target.js";

/** What is taken can be counted and written again. */
export const fuzz = refusing((bytes) => {
  const trace = decodeTrace(bytes);
  traceFigures(trace);
  decodeTrace(encodeTrace(trace));
});
