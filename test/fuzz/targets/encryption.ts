import { readEnvelopedData } from "../../../src/ocicrypt/enveloped-data.js";
import { parseEncryption } from "../../../src/ocicrypt/index.js";
import { readJwe } from "../../../src/ocicrypt/unwrap-jwe.js";
import { linesOf, refusing } from "../target.js";

const prefix = "org.opencontainers.image.enc";

/** Annotations of an encrypted layer, and the packets in them. */
export const fuzz = refusing((bytes) => {
  const [jwe = "", pkcs7 = "", options = ""] = linesOf(bytes, 3);
  const { wrappedKeys } = parseEncryption({
    ...(jwe !== "" && { [`${prefix}.keys.jwe`]: jwe }),
    ...(pkcs7 !== "" && { [`${prefix}.keys.pkcs7`]: pkcs7 }),
    ...(options !== "" && { [`${prefix}.pubopts`]: options }),
  });
  for (const { scheme, packet } of wrappedKeys) {
    if (scheme === "jwe") readJwe(packet);
    else readEnvelopedData(packet);
  }
});
