import { parseDigest } from "../../../src/bytes/index.js";
import { compileIndex } from "../../../src/layer/compile-index.js";
import { refusingLater } from "../target.js";

const PREFIX_BYTES = 12;
/** Of the layer's digest in a table. */
const LAYER_OFFSET = 64;

/** Bytes of the headers and of the blob, the headers of the archive, then the table, whose layer is taken at its word. */
export const fuzz = refusingLater(async (bytes) => {
  if (bytes.length < PREFIX_BYTES) return;
  const headersEnd = PREFIX_BYTES + (bytes.readUInt32LE(0) % 65_536);
  const table = bytes.subarray(headersEnd);
  await compileIndex({
    format: "fine",
    table,
    headers: bytes.subarray(PREFIX_BYTES, headersEnd),
    layer: parseDigest(`sha256:${table.toString("hex", LAYER_OFFSET, LAYER_OFFSET + 32).padEnd(64, "0")}`),
    blobSize: Number(bytes.readBigUInt64LE(4) & 0xffff_ffffn),
  });
});
