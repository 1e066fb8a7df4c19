import { durationField } from "./config-fields.js";

/** Longest waits for shims; the names of the values are those of the runtime's own. */
export const shims = {
  startMs: durationField({
    key: "start_timeout",
    initial: "30s",
    meaning: "Longest wait for a shim to start.",
  }),
  loadMs: durationField({
    key: "load_timeout",
    initial: "5s",
    meaning: "Longest wait for a shim that was there before the daemon to answer.",
  }),
  cleanupMs: durationField({
    key: "cleanup_timeout",
    initial: "5s",
    meaning: "Longest wait for each step of taking away what a failed task left.",
  }),
  shutdownMs: durationField({
    key: "shutdown_timeout",
    initial: "3s",
    meaning: "Longest wait for a shim to end.",
  }),
  stateMs: durationField({
    key: "state_timeout",
    initial: "2s",
    meaning: "Longest wait for the state of a task.",
  }),
  statsMs: durationField({
    key: "stats_timeout",
    initial: "2s",
    meaning: "Longest wait for the figures of a task.",
  }),
  callMs: durationField({
    key: "call_timeout",
    initial: "2m",
    meaning: "Longest wait for the other answers of a shim.",
  }),
  checkpointMs: durationField({
    key: "checkpoint_timeout",
    initial: "10m",
    meaning: "Longest wait for a checkpoint, whose memory has to be written.",
  }),
} as const;

export const restart = {
  intervalMs: durationField({
    key: "interval",
    initial: "10s",
    meaning: "Time between two looks at containers that have a restart label.",
  }),
} as const;
