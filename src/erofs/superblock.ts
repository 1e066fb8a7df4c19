import { createHash } from "node:crypto";
import type { FileTime } from "../tree/index.js";
import { crc32cRaw } from "./crc32c.js";
import * as layout from "./layout.js";

/** Our native reader takes from the volume's name whether it must ask for extended attributes at all. */
const volumeNames = { withXattrs: "lazuli+xattrs", withoutXattrs: "lazuli" } as const;

const DEVICE_TAG = "lazuli-data";

export interface SuperblockFacts {
  readonly blockSize: layout.BlockSize;
  readonly inodeCount: number;
  readonly rootSlot: number;
  readonly dataBlocks: number;
  readonly hasXattrs: boolean;
  readonly buildTime: FileTime;
}

/** Writes superblock and device slot of an image that is finished otherwise: its UUID comes from all bytes. */
export function writeSuperblock(image: Buffer, facts: SuperblockFacts): void {
  const at = layout.SUPERBLOCK_OFFSET;
  image.writeUInt32LE(layout.SUPERBLOCK_MAGIC, at);
  image.writeUInt32LE(layout.compatibleFeatures.checksum | layout.compatibleFeatures.mtime, at + 8);
  image.writeUInt8(Math.log2(facts.blockSize), at + 12);
  image.writeUInt16LE(facts.rootSlot, at + 14);
  image.writeBigUInt64LE(BigInt(facts.inodeCount), at + 16);
  image.writeBigInt64LE(facts.buildTime.seconds, at + 24);
  image.writeUInt32LE(facts.buildTime.nanoseconds, at + 32);
  image.writeUInt32LE(image.length / facts.blockSize, at + 36);
  image.write(facts.hasXattrs ? volumeNames.withXattrs : volumeNames.withoutXattrs, at + 64, "latin1");
  image.writeUInt32LE(
    layout.incompatibleFeatures.chunkedFile | layout.incompatibleFeatures.deviceTable,
    at + 80,
  );
  image.writeUInt16LE(1, at + 86);
  image.writeUInt16LE(layout.DEVICE_SLOT_OFFSET / layout.DEVICE_SLOT_SIZE, at + 88);
  image.write(DEVICE_TAG, layout.DEVICE_SLOT_OFFSET, "latin1");
  image.writeUInt32LE(facts.dataBlocks, layout.DEVICE_SLOT_OFFSET + 64);
  createHash("sha256")
    .update(image)
    .digest()
    .copy(image, at + 48, 0, 16);
  image.writeUInt32LE(crc32cRaw(checkedPart(image, facts.blockSize)), at + 4);
}

/** From the superblock to the end of its block; with small blocks, one block. */
function checkedPart(image: Buffer, blockSize: number): Buffer {
  const length = blockSize > layout.SUPERBLOCK_OFFSET ? blockSize - layout.SUPERBLOCK_OFFSET : blockSize;
  return image.subarray(layout.SUPERBLOCK_OFFSET, layout.SUPERBLOCK_OFFSET + length);
}
