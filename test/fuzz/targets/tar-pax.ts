import { parsePax } from "../../../src/tar/pax-records.js";
import { sparseDialect, sparseMapOfPax } from "../../../src/tar/sparse-map.js";
import { refusing } from "../target.js";

export const fuzz = refusing((bytes) => {
  const records = parsePax(bytes, 0);
  if (sparseDialect(records) === "0.x") sparseMapOfPax(records, 0);
});
