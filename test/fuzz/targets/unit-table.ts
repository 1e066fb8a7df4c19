import { createHash } from "node:crypto";
import { UnitTable } from "../../../src/units/index.js";
import { refusing } from "../target.js";

/** The checksum is made right. */
export const fuzz = refusing((bytes) => {
  const table = new UnitTable(Buffer.concat([bytes, createHash("sha256").update(bytes).digest()]));
  for (let unit = 0; unit < table.count; unit += 1) {
    table.streamOf(unit);
    table.blobEnd(unit);
  }
});
