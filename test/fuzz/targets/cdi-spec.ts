import { parseCdiSpec } from "../../../src/cdi/parse-spec.js";
import { refusing } from "../target.js";

export const fuzz = refusing((bytes) =>
  parseCdiSpec(bytes.subarray(1), ((bytes[0] ?? 0) & 1) === 0 ? "json" : "yaml"),
);
