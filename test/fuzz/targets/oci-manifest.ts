import { parseManifestOrIndex } from "../../../src/oci/index.js";
import { refusing } from "../target.js";

export const fuzz = refusing((bytes) => parseManifestOrIndex(bytes));
