import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Sandbox, SandboxSchema } from "../../gen/containerd/types/sandbox_pb.js";
import type { SandboxRequest, SandboxRow } from "../metadata/index.js";
import { timestampOf } from "./snapshot-messages.js";
import {
  anyField,
  anyValueOf,
  extensionMessages,
  extensionValues,
  runtimeMessage,
  runtimeOf,
} from "./workload-messages.js";

/** What the client sent; the table checks it. */
export function sandboxRequestOf(namespace: string, sandbox: Sandbox | undefined): SandboxRequest {
  return {
    namespace,
    id: sandbox?.sandboxId ?? "",
    sandboxer: sandbox?.sandboxer ?? "",
    runtime: runtimeOf(sandbox?.runtime),
    spec: anyValueOf(sandbox?.spec),
    labels: sandbox?.labels ?? {},
    extensions: extensionValues(sandbox?.extensions ?? {}),
  };
}

export function sandboxMessage(row: SandboxRow): MessageInitShape<typeof SandboxSchema> {
  return {
    sandboxId: row.id,
    runtime: runtimeMessage(row.runtime),
    ...anyField("spec", row.spec),
    labels: { ...row.labels },
    createdAt: timestampOf(row.createdAt),
    updatedAt: timestampOf(row.updatedAt),
    extensions: extensionMessages(row.extensions),
    sandboxer: row.sandboxer,
  };
}
