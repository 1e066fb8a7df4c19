import { fromBinary } from "@bufbuild/protobuf";
import {
  RuntimeInfoSchema,
  type RuntimeRequest,
  RuntimeRequestSchema,
} from "../../gen/containerd/types/introspection_pb.js";
import { invalidArgument, unimplemented } from "../errors/index.js";
import { packedEvent } from "../events/index.js";
import type { TaskManager } from "../runtime/index.js";
import type { PluginFacts } from "./introspection-service.js";
import { anyField, anyValueOf } from "./workload-messages.js";

/** What the plugin of tasks tells of a runtime: what its shim says of itself. */
export function runtimeInfo(tasks: Pick<TaskManager, "runtimeInfo">): NonNullable<PluginFacts["info"]> {
  return async (question, { signal }) => {
    if (question.typeUrl !== RuntimeRequestSchema.typeName) {
      throw unimplemented(`unknown request type ${question.typeUrl}`, {
        subject: question.typeUrl,
        reason: "plugin-question-unknown",
      });
    }
    const { runtimePath, options } = requestOf(question.value);
    const asked = { runtime: runtimePath, options: anyValueOf(options) };
    const info = await tasks.runtimeInfo(asked, { signal });
    const { name, version, revision, annotations } = info;
    return packedEvent(RuntimeInfoSchema, {
      name,
      version: { version, revision },
      ...anyField("options", info.options),
      ...anyField("features", info.features),
      annotations: { ...annotations },
    });
  };
}

function requestOf(bytes: Uint8Array): RuntimeRequest {
  try {
    return fromBinary(RuntimeRequestSchema, bytes);
  } catch (thrown) {
    throw invalidArgument("Cannot read the request for a runtime: want its message, got other bytes", {
      reason: "runtime-request-invalid",
      cause: thrown,
    });
  }
}
