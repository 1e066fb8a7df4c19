import type { MessageInitShape } from "@bufbuild/protobuf";
import type { InfoSchema, StatusSchema } from "../../gen/containerd/services/content/v1/content_pb.js";
import type { ContentInfo, IngestStatus } from "../content/index.js";
import { timestampOf } from "./snapshot-messages.js";

export function contentInfoMessage(info: ContentInfo): MessageInitShape<typeof InfoSchema> {
  return {
    digest: info.digest,
    size: BigInt(info.size),
    createdAt: timestampOf(info.createdAt),
    updatedAt: timestampOf(info.updatedAt),
    labels: { ...info.labels },
  };
}

export function ingestStatusMessage(status: IngestStatus): MessageInitShape<typeof StatusSchema> {
  return {
    ref: status.ref,
    offset: BigInt(status.offset),
    total: BigInt(status.total),
    expected: status.expected ?? "",
    startedAt: timestampOf(status.startedAt),
    updatedAt: timestampOf(status.updatedAt),
  };
}
