import { execFileSync } from "node:child_process";
import { crc32, gzipSync, inflateRawSync, constants as zlib } from "node:zlib";
import type { Random } from "../../testing/crash/random.js";
import { gzipMembers } from "../fuse/index-stream.js";
import { DeflateWriter, member } from "../hostile/streams-gzip.js";
import { prose } from "../soci/sample-layer.js";

const HEADER = 10;
const TRAILER = 8;
/** A mutant is no longer than this. */
const BYTES_MAX = 64 * 1024;
/** Bytes near the start, where most of what has a meaning stands, are changed more often. */
const HEAD_BYTES = 64;

const text = prose(9000, 11);
const mixed = Buffer.concat([text.subarray(0, 3000), Buffer.alloc(5000), text.subarray(3000, 6000)]);

/** Small streams of all shapes, from which mutants are made. */
const gzipSeeds: readonly Buffer[] = [
  ...[1, 6, 9].map((level) => gzipSync(mixed, { level })),
  gzipSync(text, { strategy: zlib.Z_FIXED }),
  gzipSync(mixed, { strategy: zlib.Z_HUFFMAN_ONLY, memLevel: 1 }),
  gzipSync(text, { level: 6, memLevel: 1 }),
  gzipSync(text.subarray(0, 2000), { level: 0 }),
  gzipSync(Buffer.alloc(0)),
  gzipMembers(mixed),
  member(
    new DeflateWriter()
      .stored(text.subarray(0, 99), false)
      .block(1, false)
      .text("ab")
      .match(1)
      .end()
      .block(1)
      .end().bytes,
    Buffer.concat([text.subarray(0, 99), Buffer.from("ababa")]),
  ),
];

function zstd(input: Buffer, ...flags: readonly string[]): Buffer {
  return execFileSync("zstd", ["-q", "-c", ...flags], { input });
}

const SKIPPABLE = Buffer.of(0x53, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3);
const zstdSeeds: readonly Buffer[] = [
  zstd(mixed, "-1"),
  zstd(mixed, "-19", "--no-check"),
  zstd(text, "--no-content-size", "--no-check"),
  zstd(Buffer.alloc(300_000), "-3"),
  Buffer.concat([zstd(text.subarray(0, 500)), SKIPPABLE, zstd(text.subarray(500), "--no-check")]),
  // One raw block, one that repeats a byte, and no checksum.
  Buffer.from("28b52ffd0050180000616263220000780100 00".replaceAll(" ", ""), "hex"),
];

/** A stream that is the same for the same seed and round: one of the seeds with a few changes. */
export function fuzzStream(codec: "gzip" | "zstd", random: Random): Buffer {
  const seeds = codec === "gzip" ? gzipSeeds : zstdSeeds;
  let bytes: Buffer = Buffer.from(random.pick(seeds)!);
  const changes = random.below(5);
  for (let change = 0; change < changes; change += 1) bytes = changed(bytes, random, seeds);
  // A changed body is refused by its checksum alone, unless that is made anew.
  return codec === "gzip" && random.chance(60) ? signed(bytes) : bytes;
}

function changed(bytes: Buffer, random: Random, seeds: readonly Buffer[]): Buffer {
  const at = random.below(random.chance(50) ? Math.min(HEAD_BYTES, bytes.length + 1) : bytes.length + 1);
  switch (random.below(9)) {
    case 0:
      return bytes.subarray(0, at);
    case 1:
      return bytes.length > BYTES_MAX ? bytes : Buffer.concat([bytes, random.pick(seeds)!]);
    case 2:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + random.below(20))]);
    case 3:
      return Buffer.concat([bytes.subarray(0, at), random.bytes(1 + random.below(8)), bytes.subarray(at)]);
    case 4: {
      const part = random.pick(seeds)!;
      const from = random.below(part.length);
      return bytes.length > BYTES_MAX
        ? bytes
        : Buffer.concat([bytes.subarray(0, at), part.subarray(from, from + 200), bytes.subarray(at)]);
    }
    default: {
      const copy = Buffer.from(bytes);
      if (at < copy.length)
        copy[at] = random.chance(60) ? copy[at]! ^ (1 << random.below(8)) : random.below(256);
      return copy;
    }
  }
}

/** The first member with the trailer that its body should have, as far as its body can be inflated. */
function signed(bytes: Buffer): Buffer {
  if (bytes.length < HEADER + TRAILER || bytes[3] !== 0) return bytes;
  try {
    const { buffer, engine } = inflateRawSync(bytes.subarray(HEADER), {
      info: true,
      maxOutputLength: 1 << 24,
    }) as unknown as { buffer: Buffer; engine: { bytesWritten: number } };
    const end = HEADER + engine.bytesWritten;
    const trailer = Buffer.alloc(TRAILER);
    trailer.writeUInt32LE(crc32(buffer), 0);
    trailer.writeUInt32LE(buffer.length, 4);
    return Buffer.concat([bytes.subarray(0, end), trailer, bytes.subarray(end + TRAILER)]);
  } catch {
    // It can't be inflated: then its checksum is of no account.
    return bytes;
  }
}
