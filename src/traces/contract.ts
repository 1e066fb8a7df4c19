import type { Digest } from "../bytes/index.js";

/**
 * What one start of an image read of its lazy layers, in the order of time. All times are milliseconds since the start
 * (`Prepare` of the container's writable layer), all sizes and offsets bytes.
 */
export interface StartTrace {
  readonly version: 1;
  /** Names the trace on this node: sorts by time. */
  readonly id: string;
  /** RFC 3339. */
  readonly startedAt: string;
  /** As the layers' origin names it, e.g. `registry.example/library/python:3.12`; empty: nobody knows. */
  readonly reference: string;
  /** The image's manifest; undefined: the client told none. */
  readonly manifest: Digest | undefined;
  /** The container's entrypoint and arguments as its OCI spec has them, where lazuli starts it; undefined: a client does. */
  readonly command: readonly string[] | undefined;
  /** Snapshot key without containerd's namespace and number, e.g. the container's id. */
  readonly key: string;
  readonly durationMs: number;
  readonly ended: TraceEnd;
  /** The lazy layers of the image, lowest first. */
  readonly layers: readonly TracedLayer[];
  /** First touches of units by reads, in order; at most TOUCHES_MAX. */
  readonly touches: readonly Touch[];
  /** Requests to registries that ran meanwhile, in order of their begin; at most REQUESTS_MAX. */
  readonly requests: readonly TracedRequest[];
}

/**
 * Why a recording ended: its time was over, somebody said that the container is ready, its snapshot was removed, lazuli
 * stopped, or it was full.
 */
export type TraceEnd = (typeof traceEnds)[number];
export const traceEnds = ["time", "ready", "removed", "stopped", "full"] as const;

export interface TracedLayer {
  readonly digest: Digest;
  readonly format: string;
  readonly blobBytes: number;
  readonly dataBytes: number;
  readonly units: number;
}

export interface Touch {
  /** Index into `layers`. */
  readonly layer: number;
  readonly unit: number;
  /** Of the unit, in the layer's decoded data. */
  readonly offset: number;
  readonly length: number;
  readonly atMs: number;
  /** 0: the bytes were here when the read came. */
  readonly waitedMs: number;
}

export interface TracedRequest {
  readonly layer: number;
  readonly priority: "demand" | "prefetch" | "background";
  /** Range of the blob. */
  readonly offset: number;
  readonly length: number;
  readonly firstUnit: number;
  readonly lastUnit: number;
  readonly atMs: number;
  /** undefined: no byte came. */
  readonly firstByteMs: number | undefined;
  /** undefined: it still ran when the recording ended. */
  readonly endMs: number | undefined;
  /** When the last of its units was decoded, checked and written; undefined: not yet, or it brought none whole. */
  readonly storedMs: number | undefined;
  readonly hasFailed: boolean;
}
