import { invalidArgument, type LazuliError } from "../errors/index.js";
import type { Labels } from "../metadata/index.js";

/** Labels of containers that are to be kept as they say (containerd's core/runtime/restart). */
export const restartLabels = {
  /** `running` or `stopped`: what the container is to be. */
  status: "containerd.io/restart.status",
  /** `always` (also when absent), `on-failure[:<most>]`, `unless-stopped` or `no`. */
  policy: "containerd.io/restart.policy",
  /** How often it was started again. */
  count: "containerd.io/restart.count",
  /** Where the output of a task that is started again goes. */
  logUri: "containerd.io/restart.loguri",
  /** Somebody stopped it: `unless-stopped` leaves it so. */
  explicitlyStopped: "containerd.io/restart.explicitly-stopped",
} as const;

export type TaskState = "unknown" | "created" | "running" | "stopped" | "paused" | "pausing";

export interface TaskStatus {
  readonly state: TaskState;
  readonly exitStatus: number;
}

export type RestartChange =
  | { readonly kind: "stop" }
  | { readonly kind: "start"; readonly count: number; readonly logUri: string };

/** Go's true words (strconv.ParseBool). */
const TRUE_WORDS = new Set(["1", "t", "T", "TRUE", "true", "True"]);

/**
 * What has to be done to a container so that it is as its labels say; undefined: nothing.
 * `task` undefined: it has none. @throws INVALID_ARGUMENT for a policy or a count that can't be read
 */
export function restartChange(labels: Labels, task: TaskStatus | undefined): RestartChange | undefined {
  const wanted = labels[restartLabels.status];
  if (task?.state === wanted) return undefined;
  if (wanted === "stopped") return task === undefined ? undefined : { kind: "stop" };
  if (wanted !== "running" || task?.state === "paused" || task?.state === "pausing") return undefined;
  if (!wantsRestart(labels, task)) return undefined;
  const count = (goInteger(labels[restartLabels.count] ?? "") ?? 0) + 1;
  return { kind: "start", count, logUri: labels[restartLabels.logUri] ?? "" };
}

function wantsRestart(labels: Labels, task: TaskStatus | undefined): boolean {
  const text = labels[restartLabels.policy] ?? "";
  const [name, most, ...rest] = text.split(":");
  switch (name) {
    case "":
    case "always":
    case "no":
    case "unless-stopped":
      if (most !== undefined) throw unreadable(text, "no number of restarts after this word");
      if (name === "no") return false;
      return name !== "unless-stopped" || !TRUE_WORDS.has(labels[restartLabels.explicitlyStopped] ?? "");
    case "on-failure": {
      const max = most === undefined ? 0 : goInteger(most);
      if (max === undefined || rest.length > 0) throw unreadable(text, "a number of restarts");
      const countText = labels[restartLabels.count] ?? "";
      const count = countText === "" ? 0 : goInteger(countText);
      if (count === undefined) throw unreadable(countText, "a number as the count of restarts");
      return (task?.exitStatus ?? 0) !== 0 && (max === 0 || count < max);
    }
    default:
      throw unreadable(text, "always, on-failure, unless-stopped or no");
  }
}

/** A number as Go's strconv.Atoi takes it. */
function goInteger(text: string): number | undefined {
  return /^[+-]?\d{1,15}$/.test(text) ? Number(text) : undefined;
}

function unreadable(text: string, wanted: string): LazuliError {
  return invalidArgument(
    `Cannot read a restart policy: want ${wanted}, got ${JSON.stringify(text.slice(0, 100))}`,
    {
      subject: restartLabels.policy,
      reason: "restart-policy-invalid",
    },
  );
}
