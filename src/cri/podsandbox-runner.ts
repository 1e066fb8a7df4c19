import type { AnyValue } from "../metadata/index.js";
import type { Pod, PodRecord, PodState, RuntimeHandler } from "./contract.js";
import type { Rollback } from "./pod-rollback.js";

interface Waiting {
  readonly signal?: AbortSignal | undefined;
}

export interface StartPod {
  readonly record: PodRecord;
  readonly handler: RuntimeHandler;
  /** Takes what undoes each step. */
  readonly rollback: Rollback;
  readonly signal: AbortSignal;
}

export interface StartedPod {
  readonly pid: number;
  readonly address: string;
  readonly spec: AnyValue | undefined;
  readonly processLabel: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** Runs what holds a pod: our pause process, or a shim that knows pods. */
export interface PodRunner {
  start(request: StartPod): Promise<StartedPod>;
  /** Kills it. Nothing happens to one that does not run. wait() tells its end. */
  stop(id: string, options: Waiting): Promise<void>;
  /** Lets go of what a stopped pod does not need. Safe to call again. */
  release(id: string): Promise<void>;
  /** Until it has ended, and cleans up after it. Ends at once for one that nobody knows. */
  wait(id: string, options: Waiting): Promise<void>;
  /** Removes all of a stopped pod. Safe to call again. */
  remove(id: string, options: Waiting): Promise<void>;
  /** After a restart. @throws what a shim answers, then nobody knows */
  find(id: string, options: Waiting): Promise<{ readonly state: PodState } & Pick<Pod, "pid" | "address">>;
  /** Words for people who inspect a pod. */
  describe(id: string, options: Waiting): Promise<Readonly<Record<string, unknown>>>;
}
