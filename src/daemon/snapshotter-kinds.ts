import { failedPrecondition } from "../errors/index.js";
import {
  type JsonValue,
  type Metadata,
  namespacedSnapshots,
  snapshotTables,
  type Table,
} from "../metadata/index.js";
import type { OwnType } from "./config-named-tables.js";

export type ServedKind = OwnType | "proxy";

/** What each name of a snapshotter has stood for, by the name. */
const servedKinds: Table<ServedKind> = {
  name: "served-snapshotters",
  encode: (kind) => kind,
  decode: (value: JsonValue) => value as ServedKind,
};

/** What the rows of a name were made by. */
export function kindOf(metadata: Metadata, name: string): ServedKind {
  // Before there were several, all rows were the lazy one's.
  return metadata.get(servedKinds, name) ?? "lazy";
}

/**
 * Makes a name stand for a kind from now on: rows of one kind lead nowhere in another.
 * @throws FAILED_PRECONDITION while it has snapshots of another kind
 */
export async function recordKind(metadata: Metadata, name: string, kind: ServedKind): Promise<void> {
  if (metadata.get(servedKinds, name) === kind) return;
  const known = kindOf(metadata, name);
  if (known !== kind && hasSnapshots(metadata, name)) {
    throw failedPrecondition(
      `Cannot serve ${name} as a snapshotter of type ${kind}: want it without snapshots, got those of type ${known}`,
      {
        subject: name,
        reason: "snapshotter-type-changed",
        hint: `Remove its snapshots first, or give the new one another name in [snapshotters.<name>] or [proxy_plugins.<name>]`,
      },
    );
  }
  await metadata.write((transaction) => transaction.put(servedKinds, name, kind));
}

function hasSnapshots(metadata: Metadata, name: string): boolean {
  for (const _row of metadata.entries(snapshotTables(name).rows, [])) return true;
  for (const { value } of metadata.entries(namespacedSnapshots, [])) {
    if (value.snapshotter === name) return true;
  }
  return false;
}
