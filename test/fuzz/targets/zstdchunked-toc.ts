import { compileIndex } from "../../../src/layer/compile-index.js";
import { refusingLater } from "../target.js";

const BLOB_BYTES = 1 << 20;

export const fuzz = refusingLater((toc) =>
  compileIndex({
    format: "zstdchunked",
    dialect: "containers",
    toc,
    blobSize: BLOB_BYTES,
    payloadEnd: BLOB_BYTES - 1000,
  }),
);
