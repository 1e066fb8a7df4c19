import { parseFooter } from "../../../src/estargz/index.js";
import { refusing } from "../target.js";

export const fuzz = refusing((bytes) => parseFooter(bytes.subarray(1), bytes.length + (bytes[0] ?? 0)));
