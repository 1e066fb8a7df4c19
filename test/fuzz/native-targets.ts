import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { encodeUnitTable } from "../../src/units/index.js";
import { projectRoot } from "../../testing/rig/lab.js";
import { plain } from "../hostile/fine-case.js";
import { deflateCases } from "../hostile/streams-deflate-cases.js";
import { gzipHeaderCases, gzipMemberCases, gzipTrailerCases } from "../hostile/streams-gzip-cases.js";
import {
  zstdBlockCases,
  zstdFrameCases,
  zstdSizeCases,
  zstdTrailerCases,
} from "../hostile/streams-zstd-cases.js";
import { numberCases, paxCases } from "../hostile/tar-number-cases.js";
import { prose } from "../soci/sample-layer.js";

export interface NativeTarget {
  /** Longest input that is made. */
  readonly bytesMax: number;
  readonly seeds: () => Promise<readonly Buffer[]> | readonly Buffer[];
}

const zstdCases = [zstdFrameCases, zstdSizeCases, zstdBlockCases, zstdTrailerCases].flat();
const gzipCases = [gzipHeaderCases, gzipTrailerCases, gzipMemberCases].flat();
const streams = [...deflateCases, ...gzipCases, ...zstdCases];
const codecs = ["raw", "gzip", "zstd"];
const headed = (bytes: Buffer, ...head: readonly number[]): Buffer =>
  Buffer.concat([Buffer.from(head), bytes]);

/** By the names of their corpora; native/fuzz/<name>_fuzz.cc reads them. The leading bytes of seeds are choices there. */
export const nativeTargets: Readonly<Record<string, NativeTarget>> = {
  "native-span-scanner": {
    bytesMax: 32_768,
    seeds: () => [
      ...streams.map(({ codec, blob }) => headed(blob, codecs.indexOf(codec), 1, 200)),
      headed(gzipSync(plain.tar.subarray(0, 40_000)), 1, 2, 255),
    ],
  },
  "native-tar-headers": {
    bytesMax: 16_384,
    seeds: () => [...numberCases, ...paxCases].map(({ tar }) => headed(tar, 80)),
  },
  "native-stream-decoder": {
    bytesMax: 16_384,
    seeds: () => [
      ...streams.map(({ codec, blob }) => headed(blob, codecs.indexOf(codec), 0)),
      headed(gzipSync(prose(9000, 3)).subarray(10), 3, 1),
    ],
  },
  "native-zstd-frame": {
    bytesMax: 16_384,
    seeds: () => zstdCases.map(({ blob }) => blob),
  },
  "native-unit-table": { bytesMax: 4096, seeds: unitTables },
  "native-erofs-image": {
    bytesMax: 16_384,
    seeds: async () =>
      await Promise.all(
        [512, 4096].map((size) => readFile(join(projectRoot, "native", "test", `sample-${size}.erofs`))),
      ),
  },
};

function unitTables(): readonly Buffer[] {
  const codecsOfUnits = ["gzip", "raw", "zstd"] as const;
  return codecsOfUnits.map((codec) => {
    const units = [0, 1, 2].map((unit) => ({
      dataOffset: unit * 4096,
      dataLength: 60,
      blobOffset: unit * 60,
      blobLength: 60,
      innerOffset: 0,
      sha256: Buffer.alloc(32),
      codec,
    }));
    return encodeUnitTable(units, { dataSize: 12_288, blobSize: 200, blockSize: 4096 }).buffer.subarray(
      0,
      -32,
    );
  });
}
