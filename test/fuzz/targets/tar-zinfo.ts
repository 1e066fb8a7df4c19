import { readTarZinfo } from "../../../src/soci/index.js";
import { refusing } from "../target.js";

export const fuzz = refusing(readTarZinfo);
