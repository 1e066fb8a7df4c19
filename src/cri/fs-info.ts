import type { MessageInitShape } from "@bufbuild/protobuf";
import type { FilesystemUsageSchema, ImageFsInfoResponseSchema } from "../../gen/runtime/v1/api_pb.js";
import type { MeasuredSnapshotter, SnapshotUsages, UsageAt } from "./stats-usage.js";

export interface FsInfoOptions {
  readonly usages: Pick<SnapshotUsages, "totals" | "snapshotters">;
  /** Told first: kubelets look at the first one only. */
  readonly defaultSnapshotter: string;
}

/**
 * What images and containers take, by snapshotter. Images: all snapshots, lazy layers with what of them is on the disk
 * by now, as containerd counts them; containers: the writable ones. One of which there is nothing is left out.
 */
export function fsInfo({
  usages,
  defaultSnapshotter,
}: FsInfoOptions): MessageInitShape<typeof ImageFsInfoResponseSchema> {
  const ordered = [...usages.snapshotters].sort(
    (left, right) => Number(right.name === defaultSnapshotter) - Number(left.name === defaultSnapshotter),
  );
  const measured = ordered
    .map((one) => ({ one, ...usages.totals(one.name) }))
    .filter(({ one, all }) => one.name === defaultSnapshotter || all.inodes > 0 || all.bytes > 0);
  return {
    imageFilesystems: measured.map(({ one, all }) => filesystemUsage(one, all)),
    containerFilesystems: measured.map(({ one, writable }) => filesystemUsage(one, writable)),
  };
}

export function filesystemUsage(
  { folder }: Pick<MeasuredSnapshotter, "folder">,
  { bytes, inodes, at }: UsageAt,
): MessageInitShape<typeof FilesystemUsageSchema> {
  return {
    timestamp: at,
    fsId: { mountpoint: folder },
    usedBytes: { value: BigInt(bytes) },
    inodesUsed: { value: BigInt(inodes) },
  };
}
