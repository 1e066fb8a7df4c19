import { parseJson } from "../../../src/bytes/index.js";
import { parseResult } from "../../../src/cni/result.js";
import { refusing } from "../target.js";

const budget = { maxBytes: 1 << 20, maxDepth: 64, maxNodes: 10_000 };

export const fuzz = refusing((bytes) => {
  const value = parseJson(bytes, budget);
  if (typeof value === "object" && value !== null) parseResult(value as Readonly<Record<string, unknown>>);
});
