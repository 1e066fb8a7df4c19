import { keyUnder, withKeyOf } from "./field-paths.js";
import type { AnyValue, ContainerRow } from "./rows.js";

/** What containers and sandboxes have in common. */
export type Workload = Pick<ContainerRow, "labels" | "spec" | "extensions">;

const emptyAny: AnyValue = { typeUrl: "", value: new Uint8Array() };

/** The row with one field as the request has it; undefined for a path that is none of the common ones. */
export function withField<Row extends Workload>(row: Row, request: Workload, path: string): Row | undefined {
  const label = keyUnder("labels", path);
  if (label !== undefined) {
    return { ...row, labels: withKeyOf(row.labels, { map: request.labels, key: label, absent: "" }) };
  }
  const extension = keyUnder("extensions", path);
  if (extension !== undefined) {
    const wanted = { map: request.extensions, key: extension, absent: emptyAny };
    return { ...row, extensions: withKeyOf(row.extensions, wanted) };
  }
  switch (path) {
    case "labels":
      return { ...row, labels: request.labels };
    case "spec":
      return { ...row, spec: request.spec };
    case "extensions":
      return { ...row, extensions: request.extensions };
    default:
      return undefined;
  }
}
