import type { Digest } from "../bytes/index.js";
import {
  REQUESTS_MAX,
  type StartTrace,
  TEXT_CHARACTERS_MAX,
  TOUCHES_MAX,
  type Touch,
  TRACE_MS_MAX,
  type TracedLayer,
  type TracedRequest,
  type TraceEnd,
  traceId,
} from "../traces/index.js";
import type { UnitTable } from "../units/index.js";
import type { requestStepChannel } from "./events.js";

/** A start that is to be recorded. */
export interface RecordedStart {
  /** As the snapshotter is asked for it; what the trace shows is without containerd's namespace and number. */
  readonly key: string;
  /** "" where nobody knows it. */
  readonly reference: string;
  readonly manifest: Digest | undefined;
  /** The lazy layers, lowest first. */
  readonly layers: readonly Digest[];
}

export interface RecordedLayer {
  readonly number: number;
  readonly facts: TracedLayer;
  readonly table: UnitTable;
}

export type RequestStep = Parameters<typeof requestStepChannel.publish>[0];

/** A touch as the plane tells it: nanoseconds of `process.hrtime`. */
export interface PlaneTouch {
  readonly unit: number;
  readonly at: bigint;
  readonly waited: bigint;
}

type Mutable<Value> = { -readonly [Key in keyof Value]: Value[Key] };

const NANOSECONDS = 1e6;

/** `k8s.io/12/<container>` of containerd is `<container>`. */
export function shownKey(key: string): string {
  return key.replace(/^[^/]+\/\d+\//, "");
}

/** What one start has done so far. */
export class TraceRecording {
  readonly key: string;
  readonly layers: readonly RecordedLayer[];
  readonly #start: RecordedStart;
  readonly #startedAtMs = Date.now();
  readonly #began = process.hrtime.bigint();
  readonly #places: ReadonlyMap<string, number>;
  readonly #touched: readonly Set<number>[];
  readonly #touches: Touch[] = [];
  readonly #requests = new Map<number, Mutable<TracedRequest>>();

  constructor(start: RecordedStart, layers: readonly RecordedLayer[]) {
    this.key = shownKey(start.key);
    this.layers = layers;
    this.#start = start;
    this.#places = new Map(layers.map(({ facts }, place) => [facts.digest, place]));
    this.#touched = layers.map(() => new Set());
  }

  get storeKey(): string {
    return this.#start.key;
  }

  get isFull(): boolean {
    return this.#touches.length >= TOUCHES_MAX;
  }

  /** The first touch of a unit counts; one that came before this start is another's. */
  touch(digest: Digest, { unit, at, waited }: PlaneTouch): void {
    const place = this.#places.get(digest);
    if (place === undefined || at < this.#began || this.isFull) return;
    const touched = this.#touched[place]!;
    const { table } = this.layers[place]!;
    if (unit >= table.count || touched.has(unit)) return;
    touched.add(unit);
    this.#touches.push({
      layer: place,
      unit,
      offset: table.dataOffset(unit),
      length: table.dataLength(unit),
      atMs: this.#msOf(at),
      waitedMs: Number(waited) / NANOSECONDS,
    });
  }

  /** A request that began before this start counts from its next step on. */
  step(step: RequestStep): void {
    const layer = this.#places.get(step.digest);
    if (layer === undefined) return;
    const request = this.#requests.get(step.request) ?? this.#addRequest(layer, step);
    if (request === undefined) return;
    const now = this.#msOf(process.hrtime.bigint());
    if (step.step === "answered") request.firstByteMs ??= now;
    else if (step.step === "received") request.endMs ??= now;
    else if (step.step !== "began") {
      request.endMs ??= now;
      request.hasFailed = step.hasFailed;
      if (step.step === "stored") request.storedMs ??= now;
    }
  }

  trace(ended: TraceEnd, command: readonly string[] | undefined): StartTrace {
    const durationMs = this.#msOf(process.hrtime.bigint());
    return {
      version: 1,
      id: traceId(this.#startedAtMs),
      startedAt: new Date(this.#startedAtMs).toISOString(),
      reference: this.#start.reference.slice(0, TEXT_CHARACTERS_MAX),
      manifest: this.#start.manifest,
      command,
      key: this.key.slice(0, TEXT_CHARACTERS_MAX),
      durationMs,
      ended: this.isFull ? "full" : ended,
      layers: this.layers.map(({ facts }) => facts),
      touches: this.#touches.sort((left, right) => left.atMs - right.atMs),
      requests: [...this.#requests.values()].sort((left, right) => left.atMs - right.atMs),
    };
  }

  #addRequest(layer: number, step: RequestStep): Mutable<TracedRequest> | undefined {
    if (this.#requests.size >= REQUESTS_MAX) return undefined;
    const { priority, offset, length, firstUnit, lastUnit, began } = step;
    const request: Mutable<TracedRequest> = {
      layer,
      priority,
      offset,
      length,
      firstUnit,
      lastUnit,
      atMs: this.#msOf(began),
      firstByteMs: undefined,
      endMs: undefined,
      storedMs: undefined,
      hasFailed: false,
    };
    this.#requests.set(step.request, request);
    return request;
  }

  #msOf(time: bigint): number {
    return Math.min(TRACE_MS_MAX, Math.max(0, Number(time - this.#began) / NANOSECONDS));
  }
}
