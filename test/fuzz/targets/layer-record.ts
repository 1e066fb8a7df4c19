import { decodeRecord } from "../../../src/layer/layer-record.js";
import { refusing } from "../target.js";

export const fuzz = refusing(decodeRecord);
