import { parseTarSplit } from "../../../src/zstdchunked/index.js";
import { refusing } from "../target.js";

export const fuzz = refusing((bytes) => [...parseTarSplit(bytes)]);
