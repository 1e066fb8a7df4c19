import { TOC_DIGEST_ANNOTATION } from "../../../src/estargz/index.js";
import {
  MANIFEST_CHECKSUM_ANNOTATION,
  MANIFEST_POSITION_ANNOTATION,
  parseAnnotations,
  TAR_SPLIT_CHECKSUM_ANNOTATION,
  TAR_SPLIT_POSITION_ANNOTATION,
} from "../../../src/zstdchunked/annotations.js";
import { linesOf, refusing } from "../target.js";

const keys = [
  TOC_DIGEST_ANNOTATION,
  MANIFEST_CHECKSUM_ANNOTATION,
  MANIFEST_POSITION_ANNOTATION,
  TAR_SPLIT_CHECKSUM_ANNOTATION,
  TAR_SPLIT_POSITION_ANNOTATION,
];

export const fuzz = refusing((bytes) => {
  const lines = linesOf(bytes, keys.length);
  const annotations = keys.map((key, index): [string, string] => [key, lines[index] ?? ""]);
  parseAnnotations(Object.fromEntries(annotations.filter(([, value]) => value !== "")));
});
