import { sha256 } from "../../../src/bytes/index.js";
import { compileIndex } from "../../../src/layer/compile-index.js";
import { readZtoc } from "../../../src/soci/index.js";
import { refusingLater } from "../target.js";

/** Up to the files of the layer; the size of its blob is taken at its word. */
export const fuzz = refusingLater(async (ztoc) => {
  const { compressedSize } = readZtoc(ztoc);
  const digest = sha256(ztoc);
  await compileIndex({ format: "soci", ztoc, digest, blobSize: compressedSize, prefetch: undefined });
});
