import { parseReference } from "../../../src/oci/index.js";
import { refusing } from "../target.js";

export const fuzz = refusing((bytes) => parseReference(bytes.toString("utf8")));
