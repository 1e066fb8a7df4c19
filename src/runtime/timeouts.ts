/** Longest waits for shims, in milliseconds; the names of containerd's own are io.containerd.timeout.*. */
export interface RuntimeTimeouts {
  /** For the command `start`. */
  readonly startMs: number;
  /** For a shim that was there before us to answer (`shim.load`). */
  readonly loadMs: number;
  /** For each step of taking away what a failed task left, the command `delete` among them (`shim.cleanup`). */
  readonly cleanupMs: number;
  /** `shim.shutdown`. */
  readonly shutdownMs: number;
  /** `task.state`. */
  readonly stateMs: number;
  /** `metrics.shimstats`. */
  readonly statsMs: number;
  /** For the other calls. containerd leaves them to its clients; kubelet gives up after as long. */
  readonly callMs: number;
  /** Memory has to be written. */
  readonly checkpointMs: number;
}

export const defaultTimeouts: RuntimeTimeouts = {
  startMs: 30_000,
  loadMs: 5000,
  cleanupMs: 5000,
  shutdownMs: 3000,
  stateMs: 2000,
  statsMs: 2000,
  callMs: 120_000,
  checkpointMs: 600_000,
};
