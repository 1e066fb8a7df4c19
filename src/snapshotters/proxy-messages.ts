import type { Timestamp } from "@bufbuild/protobuf/wkt";
import type { Info } from "../../gen/containerd/services/snapshots/v1/snapshots_pb.js";
import type { Mount as MountMessage } from "../../gen/containerd/types/mount_pb.js";
import { dataLoss } from "../errors/index.js";
import {
  type Mount,
  type Nanoseconds,
  type SnapshotInfo,
  type SnapshotKind,
  snapshotKinds,
} from "./contract.js";

const NANOSECONDS = 1_000_000_000n;

/** @throws DATA_LOSS when the snapshotter says nothing */
export function snapshotInfoFrom(info: Info | undefined): SnapshotInfo {
  if (info === undefined) {
    throw dataLoss("Cannot read an answer of a snapshotter: want the info of a snapshot, got none", {
      reason: "snapshotter-answer-incomplete",
    });
  }
  return {
    name: info.name,
    parent: info.parent,
    kind: kindFrom(info.kind),
    createdAt: nanosecondsFrom(info.createdAt),
    updatedAt: nanosecondsFrom(info.updatedAt),
    labels: info.labels,
  };
}

/** Bytes or inodes. @throws DATA_LOSS for what can't be counted */
export function countFrom(value: bigint): number {
  const count = Number(value);
  if (Number.isSafeInteger(count) && count >= 0) return count;
  throw dataLoss(`Cannot read an answer of a snapshotter: want a count, got ${value}`, {
    reason: "snapshotter-answer-invalid",
  });
}

export function mountsFrom(mounts: readonly MountMessage[]): readonly Mount[] {
  return mounts.map(({ type, source, target, options }) => ({ type, source, target, options }));
}

/** A kind that is not known counts as committed, as containerd's client has it. */
function kindFrom(number: number): SnapshotKind {
  const found = Object.entries(snapshotKinds).find(([, known]) => known === number);
  return (found?.[0] ?? "committed") as SnapshotKind;
}

function nanosecondsFrom(timestamp: Timestamp | undefined): Nanoseconds {
  return timestamp === undefined ? 0n : timestamp.seconds * NANOSECONDS + BigInt(timestamp.nanos);
}
