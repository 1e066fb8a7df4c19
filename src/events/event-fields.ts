import { createRegistry, type DescField, fromBinary, ScalarType } from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import type { Any } from "@bufbuild/protobuf/wkt";
import { file_containerd_events_container } from "../../gen/containerd/events/container_pb.js";
import { file_containerd_events_content } from "../../gen/containerd/events/content_pb.js";
import { file_containerd_events_image } from "../../gen/containerd/events/image_pb.js";
import { file_containerd_events_namespace } from "../../gen/containerd/events/namespace_pb.js";
import { file_containerd_events_sandbox } from "../../gen/containerd/events/sandbox_pb.js";
import { file_containerd_events_snapshot } from "../../gen/containerd/events/snapshot_pb.js";
import { file_containerd_events_task } from "../../gen/containerd/events/task_pb.js";

const known = createRegistry(
  file_containerd_events_container,
  file_containerd_events_content,
  file_containerd_events_image,
  file_containerd_events_namespace,
  file_containerd_events_sandbox,
  file_containerd_events_snapshot,
  file_containerd_events_task,
);

/**
 * A field of an event, by the names of its message, as filters ask for it: texts, truths and entries of maps, also of
 * messages in it; never numbers, times or lists. Undefined for what is empty, and for events that we don't know.
 */
export function eventField(event: Any | undefined, path: readonly string[]): string | undefined {
  const schema = event === undefined ? undefined : known.getMessage(event.typeUrl);
  if (event === undefined || schema === undefined) return undefined;
  try {
    return fieldOf(reflect(schema, fromBinary(schema, event.value)), path);
  } catch {
    // Whoever published it wrote bytes that are not of the type: no filter on its fields can match.
    return undefined;
  }
}

function fieldOf(message: ReflectMessage, path: readonly string[]): string | undefined {
  let within = message;
  for (const [index, name] of path.entries()) {
    const field = within.fields.find((one) => one.name === name);
    if (field === undefined || !within.isSet(field)) {
      return field !== undefined && isTruth(field) ? "false" : undefined;
    }
    if (field.fieldKind === "message") {
      within = within.get(field);
      continue;
    }
    if (field.fieldKind === "map") {
      const value: unknown = within.get(field).get(path.slice(index + 1).join("."));
      return typeof value === "string" ? value : undefined;
    }
    const value: unknown = field.fieldKind === "scalar" ? within.get(field) : undefined;
    return typeof value === "string" ? value : isTruth(field) ? String(value) : undefined;
  }
  return undefined;
}

function isTruth(field: DescField): boolean {
  return field.fieldKind === "scalar" && field.scalar === ScalarType.BOOL;
}
