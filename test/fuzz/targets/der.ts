import { readEnvelopedData } from "../../../src/ocicrypt/enveloped-data.js";
import { refusing } from "../target.js";

export const fuzz = refusing(readEnvelopedData);
