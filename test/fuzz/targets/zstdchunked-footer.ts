import { parseZstdFooter } from "../../../src/zstdchunked/index.js";
import { refusing } from "../target.js";

export const fuzz = refusing((bytes) => parseZstdFooter(bytes.subarray(1), bytes.length + (bytes[0] ?? 0)));
