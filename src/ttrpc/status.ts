import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Status, StatusSchema } from "../../gen/google/rpc/status_pb.js";
import { type ErrorCode, errorCodes, LazuliError } from "../errors/index.js";

const codesByNumber: ReadonlyMap<number, ErrorCode> = new Map(
  Object.entries(errorCodes).map(([code, facts]) => [facts.grpc, code as ErrorCode]),
);

/** What was thrown, as it goes over the wire. */
export function statusOf(thrown: unknown): MessageInitShape<typeof StatusSchema> {
  const error = LazuliError.from(thrown);
  return { code: errorCodes[error.code].grpc, message: error.message };
}

/** The error that a peer answered with; its message is the peer's. */
export function errorOfStatus(status: Status, subject: string): LazuliError {
  const code = codesByNumber.get(status.code) ?? "UNKNOWN";
  return new LazuliError(code, status.message, { subject, reason: "ttrpc-status" });
}
