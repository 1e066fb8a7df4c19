import { tocOfTar } from "../../../src/estargz/toc-tar.js";
import { refusing } from "../target.js";

export const fuzz = refusing(tocOfTar);
