import { channel } from "../observe/index.js";

/** A trace was written down and can be read from the store by its id. */
export const traceSavedChannel = channel<{
  id: string;
  /** "" where nobody knows it. */
  reference: string;
  manifest: string | undefined;
  touches: number;
  requests: number;
}>("lazuli:traces.saved");

/** A recording that became no trace: too many ran, nothing was read through lazuli, or it could not be written. */
export const traceDroppedChannel = channel<{ key: string; reason: "busy" | "empty" | "unwritten" }>(
  "lazuli:traces.dropped",
);
