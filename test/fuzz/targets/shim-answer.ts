import { parseBootstrap } from "../../../src/runtime/bootstrap.js";
import { refusing } from "../target.js";

export const fuzz = refusing(parseBootstrap);
