import { parseFilters } from "../../../src/filters/index.js";
import { refusing } from "../target.js";

export const fuzz = refusing((bytes) => {
  const filter = parseFilters(bytes.toString("utf8").split("\n"));
  filter(([first]) => (first === "name" ? "value" : undefined));
});
