import type { Digest } from "../bytes/index.js";

/** Bytes of a layer's decoded data. */
export interface ReplayRange {
  readonly offset: number;
  readonly length: number;
}

export interface ReplayPart {
  readonly digest: Digest;
  readonly ranges: readonly ReplayRange[];
}

/**
 * What a start is expected to read, in the order of need. Advice, perhaps a stranger's: ranges beyond a layer are cut,
 * parts of layers that are not here wait for `ensure()`, and what is no offset or length is passed over.
 */
export interface ReplayPlan {
  /** The same layer may come several times. */
  readonly parts: readonly ReplayPart[];
  /** Most compressed bytes that are asked of registries for it. */
  readonly bytesMax: number;
  /** It ends after so long, whatever is missing then. */
  readonly timeMaxMs: number;
  /** Says whose plan it is, e.g. `profile python:3.12`; for people and `lazuli status`. */
  readonly label: string;
}

/** Why a replay asks for nothing more; `failed`: requests failed again and again. */
export type ReplayState = "running" | "done" | "cancelled" | "time-over" | "bytes-over" | "failed";

/** Decoded bytes of units unless said otherwise. */
export interface ReplayFigures {
  readonly label: string;
  readonly state: ReplayState;
  /** Of the layers that came so far. */
  readonly plannedBytes: number;
  /** Planned, and here before the replay. */
  readonly presentBytes: number;
  /** That its requests brought, with what lay between. */
  readonly storedBytes: number;
  /** Compressed bytes that it asked for. */
  readonly requestedBytes: number;
  readonly requests: number;
  readonly failures: number;
  /** Measured by the first start that was traced after it; undefined: none was. */
  readonly start: ReplayMeasure | undefined;
}

/** A replay held against what a start touched. Decoded bytes. */
export interface ReplayMeasure {
  /** Touched, and not here before the replay. */
  readonly touchedBytes: number;
  /** Of those, brought by the replay: before the read came, and while it waited. */
  readonly hitBytes: number;
  readonly lateBytes: number;
  /** Brought by the replay and not touched. */
  readonly wasteBytes: number;
  /** hitBytes / touchedBytes; 1 where nothing was touched. */
  readonly recall: number;
  /** Brought and touched / brought; 1 where nothing was brought. */
  readonly precision: number;
}

export interface ReplayHandle {
  figures(): ReplayFigures;
  /** Its requests that run are cut; what came stays. */
  cancel(): void;
}
