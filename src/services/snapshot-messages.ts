import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Timestamp, TimestampSchema } from "@bufbuild/protobuf/wkt";
import type { InfoSchema } from "../../gen/containerd/services/snapshots/v1/snapshots_pb.js";
import type { MountSchema } from "../../gen/containerd/types/mount_pb.js";
import { type Mount, type SnapshotInfo, snapshotKinds } from "../snapshotters/index.js";

const NANOSECONDS = 1_000_000_000n;

export function timestampOf(nanoseconds: bigint): MessageInitShape<typeof TimestampSchema> {
  // Nanoseconds of a Timestamp count forwards, also before 1970.
  const nanos = ((nanoseconds % NANOSECONDS) + NANOSECONDS) % NANOSECONDS;
  return { seconds: (nanoseconds - nanos) / NANOSECONDS, nanos: Number(nanos) };
}

export function nanosecondsOf(timestamp: Timestamp | undefined): bigint {
  return timestamp === undefined ? 0n : timestamp.seconds * NANOSECONDS + BigInt(timestamp.nanos);
}

export function infoMessage(info: SnapshotInfo): MessageInitShape<typeof InfoSchema> {
  return {
    name: info.name,
    parent: info.parent,
    kind: snapshotKinds[info.kind],
    createdAt: timestampOf(info.createdAt),
    updatedAt: timestampOf(info.updatedAt),
    labels: { ...info.labels },
  };
}

export function mountMessages(mounts: readonly Mount[]): MessageInitShape<typeof MountSchema>[] {
  return mounts.map((mount) => ({ ...mount, options: [...mount.options] }));
}
