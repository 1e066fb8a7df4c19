import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Platform as PlatformMessage } from "../../gen/containerd/types/platform_pb.js";
import type { ImageStore } from "../../gen/containerd/types/transfer/imagestore_pb.js";
import type { ImageExportStream } from "../../gen/containerd/types/transfer/importexport_pb.js";
import type { ProgressSchema } from "../../gen/containerd/types/transfer/progress_pb.js";
import type { Platform } from "../oci/index.js";
import type { ExportWish, ImageStoreWish, TransferEvent } from "../transfer/index.js";

export function platformOf(message: PlatformMessage | undefined): Platform {
  const { os = "", architecture = "", variant = "" } = message ?? {};
  return { os, architecture, ...(variant === "" ? {} : { variant }) };
}

export function imageStoreOf(message: ImageStore): ImageStoreWish {
  const { name, labels, platforms, allMetadata, manifestLimit, extraReferences, unpacks } = message;
  return {
    name,
    labels,
    platforms: platforms.map(platformOf),
    allMetadata,
    manifestLimit,
    extraReferences: extraReferences.map(
      ({ name: reference, isPrefix, allowOverwrite, addDigest, skipNamedDigest }) => ({
        name: reference,
        isPrefix,
        allowOverwrite,
        addDigest,
        skipNamedDigest,
      }),
    ),
    unpacks: unpacks.map(({ platform, snapshotter }) => ({ platform: platformOf(platform), snapshotter })),
  };
}

export function exportWishOf(message: ImageExportStream): ExportWish {
  const { platforms, allPlatforms, skipCompatibilityManifest, skipNonDistributable } = message;
  return {
    platforms: platforms.map(platformOf),
    allPlatforms,
    skipCompatibilityManifest,
    skipNonDistributable,
  };
}

export function progressMessage(told: TransferEvent): MessageInitShape<typeof ProgressSchema> {
  const { event, name = "", parents = [], progress = 0, total = 0, descriptor } = told;
  return {
    event,
    name,
    parents: [...parents],
    progress: BigInt(progress),
    total: BigInt(total),
    ...(descriptor === undefined
      ? {}
      : {
          desc: {
            mediaType: descriptor.mediaType,
            digest: descriptor.digest,
            size: BigInt(descriptor.size),
            annotations: { ...descriptor.annotations },
          },
        }),
  };
}
