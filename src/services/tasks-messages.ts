import type { MessageInitShape } from "@bufbuild/protobuf";
import type { TimestampSchema } from "@bufbuild/protobuf/wkt";
import { type ProcessSchema, Status } from "../../gen/containerd/types/task/task_pb.js";
import type { ProcessState, ProcessStatus } from "../runtime/index.js";
import { timestampOf } from "./snapshot-messages.js";

const statuses: Readonly<Record<ProcessStatus, Status>> = {
  unknown: Status.UNKNOWN,
  created: Status.CREATED,
  running: Status.RUNNING,
  stopped: Status.STOPPED,
  paused: Status.PAUSED,
  pausing: Status.PAUSING,
};

/** containerd leaves the id of the container out. */
export function processMessage(state: ProcessState): MessageInitShape<typeof ProcessSchema> {
  const { id, pid, status, io, exitStatus, exitedAt } = state;
  return { id, pid, status: statuses[status], ...io, exitStatus, ...exitedField(exitedAt) };
}

export function exitedField(exitedAt: bigint | undefined): {
  exitedAt?: MessageInitShape<typeof TimestampSchema>;
} {
  return exitedAt === undefined ? {} : { exitedAt: timestampOf(exitedAt) };
}
