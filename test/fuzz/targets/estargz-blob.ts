import { sha256 } from "../../../src/bytes/index.js";
import { openToc } from "../../../src/estargz/index.js";
import { refusingLater } from "../target.js";

const tocDigest = sha256(Buffer.from("{}"));

/** Footer, member and tar of the TOC, up to its digest. */
export const fuzz = refusingLater((bytes) =>
  openToc({
    blobSize: bytes.length,
    tocDigest,
    read: async ({ offset, length }) => bytes.subarray(offset, offset + length),
  }),
);
