import { decodeProfile } from "../../../src/profiles/index.js";
import { refusing } from "../target.js";

export const fuzz = refusing(decodeProfile);
