import { parseImageConfig } from "../../../src/oci/index.js";
import { parseRunConfig } from "../../../src/spec/index.js";
import { refusing } from "../target.js";

export const fuzz = refusing((bytes) => {
  parseImageConfig(bytes);
  parseRunConfig(bytes);
});
