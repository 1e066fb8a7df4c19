import { createHash } from "node:crypto";
import { decodeBitmap } from "../../../src/layer/bitmap-file.js";
import { refusing } from "../target.js";

const tableSha256 = Buffer.alloc(32);

/** The first byte is how many units there are; the checksum is made right. */
export const fuzz = refusing((bytes) => {
  const body = bytes.subarray(1);
  const file = Buffer.concat([body, createHash("sha256").update(body).digest()]);
  const units = bytes[0] ?? 0;
  const bits = decodeBitmap(file, { units, tableSha256 });
  for (let unit = 0; unit < units; unit += 1) bits?.has(unit);
});
