import { parseSeccompProfile } from "../../../src/spec/index.js";
import { refusing } from "../target.js";

export const fuzz = refusing(parseSeccompProfile);
