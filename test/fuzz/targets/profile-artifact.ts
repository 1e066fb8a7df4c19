import { sha256 } from "../../../src/bytes/index.js";
import { parseArtifact } from "../../../src/profiles/index.js";
import { refusing } from "../target.js";

const subject = sha256(Buffer.from("subject"));

export const fuzz = refusing((bytes) => parseArtifact(bytes, { subject }));
