import type { Digest } from "../bytes/index.js";
import { LazuliError } from "../errors/index.js";
import type { NativePlane } from "../fuse/index.js";
import { log } from "../observe/index.js";
import {
  COMMAND_ARGUMENTS_MAX,
  COMMAND_CHARACTERS_MAX,
  type StartTrace,
  TOUCHES_MAX,
  TRACED_LAYERS_MAX,
  type TraceEnd,
  type TraceStore,
  traceDroppedChannel,
} from "../traces/index.js";
import type { UnitTable } from "../units/index.js";
import { type Clock, systemClock, type Timer } from "./clock.js";
import type { LayerStatus } from "./contract.js";
import { requestStepChannel } from "./events.js";
import {
  type PlaneTouch,
  type RecordedLayer,
  type RecordedStart,
  shownKey,
  TraceRecording,
} from "./trace-recording.js";

/** Starts that are recorded at once; one beyond it is not, and counts as dropped. */
const RECORDINGS_MAX = 64;
/** Between two looks at what reads have touched so far: a layer that is read as a whole is fetched as one. */
const LOOK_MS = 250;
/** Of a client's unpacking, which is no start (containerd's core/unpack). */
const UNPACK_PREFIX = "extract-";

/** What a recorder needs of the engine. */
export interface TracedEngine {
  readonly plane: Pick<NativePlane, "startTouches" | "takeTouches" | "waitingTouches" | "stopTouches">;
  /** @throws NOT_FOUND */
  status(digest: Digest): LayerStatus;
  /** @throws NOT_FOUND */
  units(digest: Digest): UnitTable;
  /** Reads have used units of the layer. */
  touched?(layer: number, units: readonly number[]): void;
  /** Holds what was fetched ahead against a start that is over. */
  measureReplays?(start: StartTrace): void;
}

export interface StartRecorderOptions {
  readonly engine: TracedEngine;
  readonly store: Pick<TraceStore, "save">;
  /** How long a start is recorded; 0: none is. */
  readonly recordedMs: number;
  /** What the container with this snapshot runs, asked when the recording ends; absent: nobody knows. */
  readonly commandOf?: (key: string) => readonly string[] | undefined;
  /** Default: the system's. */
  readonly clock?: Clock;
}

interface Running {
  readonly recording: TraceRecording;
  readonly timer: Timer;
}

/** Records what starts of containers read of their lazy layers. A touch goes to every start that has the layer. */
export class StartRecorder {
  readonly #options: StartRecorderOptions;
  readonly #clock: Clock;
  readonly #running = new Set<Running>();
  readonly #saving = new Set<Promise<unknown>>();
  #steps: Disposable | undefined;
  #looking: Timer | undefined;

  constructor(options: StartRecorderOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  /** Begins, unless the start has no lazy layers, is recorded already, or is none. Never throws. */
  begin(start: RecordedStart): void {
    const { recordedMs } = this.#options;
    const isStart = start.layers.length > 0 && !shownKey(start.key).startsWith(UNPACK_PREFIX);
    if (recordedMs === 0 || !isStart || this.isRecording(start.key)) return;
    if (this.#running.size >= RECORDINGS_MAX) {
      traceDroppedChannel.publish({ key: start.key, reason: "busy" });
      return;
    }
    const layers = this.#layersOf(start);
    // What was noted up to now belongs to the other starts alone; then all units are untouched again, for this one too.
    for (const layer of layers) this.#drain(layer);
    const recording = new TraceRecording(start, layers);
    for (const { number } of layers) this.#onPlane((plane) => plane.startTouches(number, TOUCHES_MAX));
    const timer = this.#clock.after(recordedMs, () => void this.#end(running, "time"));
    const running = { recording, timer };
    this.#running.add(running);
    this.#lookLater();
    this.#steps ??= requestStepChannel.subscribe((step) => {
      for (const one of this.#running) one.recording.step(step);
    });
  }

  isRecording(storeKey: string): boolean {
    return [...this.#running].some(({ recording }) => recording.storeKey === storeKey);
  }

  /** The snapshot is about to go. */
  removed(storeKey: string): void {
    for (const running of this.#running) {
      if (running.recording.storeKey === storeKey) void this.#end(running, "removed");
    }
  }

  /**
   * Ends the recordings of a container that is ready, named by its snapshot key with or without what containerd puts before
   * it. @returns the ids of the traces that came of them; undefined: it is not being recorded
   */
  async ready(key: string): Promise<readonly string[] | undefined> {
    const found = [...this.#running].filter(
      ({ recording }) => recording.storeKey === key || recording.key === key,
    );
    if (found.length === 0) return undefined;
    const ids = await Promise.all(found.map((running) => this.#end(running, "ready")));
    return ids.filter((id) => id !== undefined);
  }

  /** Ends what runs, and returns when all is written. */
  async close(): Promise<void> {
    for (const running of this.#running) void this.#end(running, "stopped");
    await Promise.all(this.#saving);
  }

  /** @returns the id of the trace; undefined: it was dropped */
  async #end(running: Running, why: TraceEnd): Promise<string | undefined> {
    if (!this.#running.has(running)) return undefined;
    const { recording, timer } = running;
    timer.cancel();
    for (const layer of recording.layers) {
      this.#drain(layer);
      const waiting = this.#onPlane((plane) => plane.waitingTouches(layer.number));
      for (const touch of touchesOf(waiting)) recording.touch(layer.facts.digest, touch);
    }
    this.#running.delete(running);
    const stillWanted = new Set([...this.#running].flatMap((one) => one.recording.layers.map(numberOf)));
    for (const { number } of recording.layers) {
      if (!stillWanted.has(number)) this.#onPlane((plane) => plane.stopTouches(number));
    }
    if (this.#running.size === 0) {
      this.#steps?.[Symbol.dispose]();
      this.#steps = undefined;
      this.#looking?.cancel();
      this.#looking = undefined;
    }
    const saving = this.#save(recording, why);
    this.#saving.add(saving);
    void saving.finally(() => this.#saving.delete(saving));
    return await saving;
  }

  async #save(recording: TraceRecording, why: TraceEnd): Promise<string | undefined> {
    const { engine, store, commandOf } = this.#options;
    const key = recording.storeKey;
    try {
      const trace = recording.trace(why, bounded(commandOf?.(key)));
      if (trace.touches.length === 0 && trace.requests.length === 0) {
        traceDroppedChannel.publish({ key, reason: "empty" });
        return undefined;
      }
      engine.measureReplays?.(trace);
      await store.save(trace);
      return trace.id;
    } catch (thrown) {
      log.warn("Cannot write the trace of a start", { key, error: LazuliError.from(thrown).message });
      traceDroppedChannel.publish({ key, reason: "unwritten" });
      return undefined;
    }
  }

  /** Gives what a layer noted to all starts that have it. */
  #drain(layer: RecordedLayer): void {
    const users = [...this.#running].filter(({ recording }) =>
      recording.layers.some(({ number }) => number === layer.number),
    );
    if (users.length === 0) return;
    const touches = touchesOf(this.#onPlane((plane) => plane.takeTouches(layer.number)));
    for (const touch of touches) {
      for (const { recording } of users) recording.touch(layer.facts.digest, touch);
    }
    if (touches.length > 0)
      this.#options.engine.touched?.(
        layer.number,
        touches.map(({ unit }) => unit),
      );
  }

  #lookLater(): void {
    this.#looking ??= this.#clock.after(LOOK_MS, () => {
      this.#looking = undefined;
      const layers = [...this.#running].flatMap(({ recording }) => recording.layers);
      for (const layer of new Map(layers.map((one) => [one.number, one])).values()) this.#drain(layer);
      if (this.#running.size > 0) this.#lookLater();
    });
  }

  #layersOf({ layers }: RecordedStart): readonly RecordedLayer[] {
    const { engine } = this.#options;
    return [...new Set(layers)].slice(0, TRACED_LAYERS_MAX).flatMap((digest) => {
      try {
        const { number, format, blobBytes, dataBytes, units } = engine.status(digest);
        return [
          { number, facts: { digest, format, blobBytes, dataBytes, units }, table: engine.units(digest) },
        ];
      } catch {
        // It was removed meanwhile: nobody reads it.
        return [];
      }
    });
  }

  #onPlane<Result>(ask: (plane: TracedEngine["plane"]) => Result): Result | undefined {
    try {
      return ask(this.#options.engine.plane);
    } catch {
      // The layer was removed, or the engine closed: there is nothing to know of it any more.
      return undefined;
    }
  }
}

function numberOf({ number }: RecordedLayer): number {
  return number;
}

/** The plane gives three numbers a touch. */
function touchesOf(values: BigUint64Array | undefined): readonly PlaneTouch[] {
  if (values === undefined) return [];
  const touches: PlaneTouch[] = [];
  for (let at = 0; at + 2 < values.length; at += 3) {
    touches.push({ unit: Number(values[at]), at: values[at + 1]!, waited: values[at + 2]! });
  }
  return touches;
}

/** A command that is too long is cut, behind its last whole argument that has room. */
function bounded(command: readonly string[] | undefined): readonly string[] | undefined {
  let left = COMMAND_CHARACTERS_MAX;
  return command?.slice(0, COMMAND_ARGUMENTS_MAX).filter((argument) => {
    left -= argument.length;
    return left >= 0;
  });
}
