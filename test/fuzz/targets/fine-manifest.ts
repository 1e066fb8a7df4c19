import { sha256 } from "../../../src/bytes/index.js";
import { parseFineManifest } from "../../../src/fine/index.js";
import { refusing } from "../target.js";

const subject = sha256(Buffer.from("subject"));

export const fuzz = refusing((bytes) => parseFineManifest(bytes, { subject }));
