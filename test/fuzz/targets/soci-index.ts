import { parseSociIndex } from "../../../src/soci/index.js";
import { refusing } from "../target.js";

export const fuzz = refusing((bytes) => parseSociIndex(bytes));
