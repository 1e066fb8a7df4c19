import { parseDigest } from "../../../src/bytes/index.js";
import { devicesOfAnnotations } from "../../../src/cdi/index.js";
import { parseGoDuration, parseRfc3339 } from "../../../src/gc/index.js";
import { parseMountInfo } from "../../../src/mounts/index.js";
import { parseKeySpec } from "../../../src/ocicrypt/index.js";
import { parseImageLocation } from "../../../src/transfer/index.js";
import { parseFileTime } from "../../../src/tree/index.js";
import { refusing } from "../target.js";

const readers: readonly ((text: string) => unknown)[] = [
  parseDigest,
  parseGoDuration,
  parseRfc3339,
  parseFileTime,
  parseMountInfo,
  parseKeySpec,
  parseImageLocation,
  (text) => devicesOfAnnotations({ "cdi.k8s.io/a": text }),
];

/** Short texts of clients and of the kernel; the first byte says which. */
export const fuzz = refusing((bytes) =>
  readers[(bytes[0] ?? 0) % readers.length]?.(bytes.toString("utf8", 1)),
);
