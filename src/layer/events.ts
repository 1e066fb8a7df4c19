import { channel } from "../observe/index.js";
import type { ReplayFigures, ReplayMeasure } from "./replay-contract.js";

/** Why bytes were asked for: somebody waits, a replay, nobody, or the layer's index. */
export type FetchPriority = TransferPriority | "index" | "whole";
/** Why units are fetched. */
export type TransferPriority = "demand" | "prefetch" | "background";

/** Compressed bytes that arrived from a source. */
export const fetchedChannel = channel<{ digest: string; priority: FetchPriority; bytes: number }>(
  "lazuli:layer.fetched",
);

/** What becomes of a request for units: each step once, in this order, with the facts of its beginning. */
export const requestStepChannel = channel<{
  /** Names the request in this process. */
  request: number;
  /** "received": no more bytes come. "dropped": it brought nothing, or failed; a part of it may be stored. */
  step: "began" | "answered" | "received" | "stored" | "dropped";
  digest: string;
  priority: TransferPriority;
  offset: number;
  length: number;
  firstUnit: number;
  lastUnit: number;
  /** Nanoseconds of `process.hrtime`. */
  began: bigint;
  hasFailed: boolean;
}>("lazuli:layer.request-step");

/** A read that had to wait is through: its bytes came, it failed, or its process gave up. */
export const demandChannel = channel<{
  digest: string;
  outcome: "served" | "failed" | "interrupted";
  waitedMs: number;
}>("lazuli:layer.demand");

/** Wrong bytes: from a source, or from our own disk. They were not served. */
export const corruptChannel = channel<{ digest: string; unit: number; origin: "source" | "disk" }>(
  "lazuli:layer.corrupt",
);

/** A request failed and is made again. */
export const retryChannel = channel<{
  digest: string;
  priority: FetchPriority;
  code: string;
  delayMs: number;
}>("lazuli:layer.retry");

/** Reads got EIO, with the word that says why. */
export const failedChannel = channel<{ digest: string; reads: number; reason: string }>(
  "lazuli:layer.failed",
);

/** A layer was made ready: index fetched, compiled, durable. */
export const ensuredChannel = channel<{ digest: string; units: number; milliseconds: number }>(
  "lazuli:layer.ensured",
);

export const mountedChannel = channel<{
  digest: string;
  kind: "erofs" | "erofs-local" | "fuse-tree";
  milliseconds: number;
}>("lazuli:layer.mounted");

/** No unit of the layer is missing any more. */
export const completeChannel = channel<{ digest: string; units: number }>("lazuli:layer.complete");

/** A replay asks for nothing more. */
export const replayEndedChannel = channel<Omit<ReplayFigures, "start">>("lazuli:layer.replay-ended");

/** A replay was held against what a start touched. */
export const replayMeasuredChannel = channel<
  Pick<ReplayMeasure, keyof ReplayMeasure> & { readonly label: string }
>("lazuli:layer.replay-measured");

/** So much of a layer is being read that the rest is fetched at full speed. */
export const fillJumpedChannel = channel<{ digest: string }>("lazuli:layer.fill-jumped");

/** Units of a layer were given up for others. Decoded bytes. */
export const evictedChannel = channel<{ digest: string; bytes: number }>("lazuli:layer.evicted");
