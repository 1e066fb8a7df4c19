import { invalidArgument } from "../errors/index.js";
import type { FieldReader } from "../filters/index.js";
import type { SnapshotRow } from "../metadata/index.js";
import type { SnapshotInfo, UpdateSnapshot } from "./contract.js";

export function infoOf(row: SnapshotRow): SnapshotInfo {
  const { name, parent, kind, createdAt, updatedAt, labels } = row;
  return { name, parent, kind, createdAt, updatedAt, labels };
}

/** The fields that filters know: `kind`, `name`, `parent`, `labels.<key>`. */
export function fieldsOf(row: Pick<SnapshotRow, "kind" | "name" | "parent" | "labels">): FieldReader {
  return ([field, ...rest]) => {
    switch (field) {
      case "kind":
        return row.kind;
      case "name":
        return row.name;
      case "parent":
        return row.parent;
      case "labels":
        return Object.hasOwn(row.labels, rest.join(".")) ? row.labels[rest.join(".")] : undefined;
      default:
        return undefined;
    }
  };
}

const LABEL_PREFIX = "labels.";

/** The labels after an update. @throws INVALID_ARGUMENT for a field that can't change */
export function updatedLabels(
  labels: Readonly<Record<string, string>>,
  update: UpdateSnapshot,
): Readonly<Record<string, string>> {
  if (update.fieldPaths.length === 0) return update.labels;
  let changed: Record<string, string> = { ...labels };
  for (const path of update.fieldPaths) {
    if (path === "labels") changed = { ...update.labels };
    else if (path.startsWith(LABEL_PREFIX)) {
      const key = path.slice(LABEL_PREFIX.length);
      if (Object.hasOwn(update.labels, key)) changed[key] = update.labels[key]!;
      else delete changed[key];
    } else {
      throw invalidArgument(
        `cannot update ${JSON.stringify(path)} field on snapshot ${JSON.stringify(update.name)}`,
        { subject: update.name, reason: "field-fixed" },
      );
    }
  }
  return changed;
}
