import { readConfig } from "../../../src/daemon/config.js";
import { refusing } from "../target.js";

export const fuzz = refusing((bytes) => readConfig({ text: bytes.toString("utf8") }));
