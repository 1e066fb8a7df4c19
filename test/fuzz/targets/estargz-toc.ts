import { compileIndex } from "../../../src/layer/compile-index.js";
import { refusingLater } from "../target.js";

const BLOB_BYTES = 1 << 20;

/** Up to the files of the layer, whose writers assert that all of it lies inside. */
export const fuzz = refusingLater((toc) =>
  compileIndex({ format: "estargz", toc, blobSize: BLOB_BYTES, payloadEnd: BLOB_BYTES - 1000 }),
);
