import { binding } from "../fuse/rig.js";

const MAGIC = 0xfd2fb528;
const SKIPPABLE = 0x184d2a50;
const RLE = 1;

/** Where the frame at `at` ends, by the headers of its blocks alone (RFC 8878, 3.1.1); undefined if nowhere. */
function frameEnd(blob: Buffer, at: number): number | undefined {
  if (at + 5 > blob.length) return undefined;
  const descriptor = blob[at + 4]!;
  const isSingle = (descriptor & 0x20) !== 0;
  const dictionary = [0, 1, 2, 4][descriptor & 3]!;
  const size = [isSingle ? 1 : 0, 2, 4, 8][descriptor >>> 6]!;
  let place = at + 5 + (isSingle ? 0 : 1) + dictionary + size;
  for (let isLast = false; !isLast; ) {
    if (place + 3 > blob.length) return undefined;
    const header = blob.readUIntLE(place, 3);
    isLast = (header & 1) === 1;
    place += 3 + (((header >>> 1) & 3) === RLE ? 1 : header >>> 3);
  }
  const end = place + ((descriptor & 4) === 0 ? 0 : 4);
  return end <= blob.length ? end : undefined;
}

/** What frames hold, each decoded for itself; undefined where one is damaged, or something else follows. */
export async function decodeFrames(blob: Buffer, dataSizeMax: number): Promise<Buffer | undefined> {
  const parts: Buffer[] = [];
  let left = dataSizeMax;
  let at = 0;
  do {
    if (at + 4 > blob.length) return undefined;
    const magic = blob.readUInt32LE(at);
    if ((magic & 0xffff_fff0) >>> 0 === SKIPPABLE) {
      if (at + 8 > blob.length) return undefined;
      at += 8 + blob.readUInt32LE(at + 4);
      if (at > blob.length) return undefined;
      continue;
    }
    const end = magic === MAGIC ? frameEnd(blob, at) : undefined;
    if (end === undefined) return undefined;
    try {
      const part = await binding.decompressFrame(blob.subarray(at, end), left);
      left -= part.length;
      parts.push(part);
    } catch {
      // A refusal, as good as any other.
      return undefined;
    }
    at = end;
  } while (at < blob.length);
  return Buffer.concat(parts);
}
