import { isDeepStrictEqual } from "node:util";
import { parseJson } from "../../../src/bytes/index.js";
import { refusing } from "../target.js";

const budget = { maxBytes: 1 << 20, maxDepth: 64, maxNodes: 10_000 };

/** What is taken is what JSON.parse() makes of it. */
export const fuzz = refusing((bytes) => {
  const value = parseJson(bytes, budget);
  if (!isDeepStrictEqual(value, JSON.parse(bytes.toString("utf8")))) throw new Error("another value");
});
