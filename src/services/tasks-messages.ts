import type { MessageInitShape } from "@bufbuild/protobuf";
import type { TimestampSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { type ProcessSchema, Status } from "../../gen/containerd/types/task/task_pb.js";
import { LazuliError } from "../errors/index.js";
import type { ProcessState, ProcessStatus } from "../runtime/index.js";
import { rpcError } from "./rpc-error.js";
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

/** Runs a handler that asks a shim: what a shim says without a code of its own is told as containerd tells it. */
export async function answerOfShim<Result>(handler: () => Promise<Result>): Promise<Result> {
  try {
    return await handler();
  } catch (thrown) {
    if (thrown instanceof LazuliError && thrown.code === "UNKNOWN") {
      throw new ConnectError(`${thrown.message}: unknown`, Code.Unknown, undefined, undefined, thrown);
    }
    throw rpcError(thrown);
  }
}
