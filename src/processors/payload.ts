import { create, toBinary } from "@bufbuild/protobuf";
import { AnySchema } from "@bufbuild/protobuf/wkt";
import type { ProcessorInput } from "./contract.js";

const PAYLOAD_URL = "io.containerd.ocicrypt.v1.Payload";

/**
 * What containerd's clients give the programs that decrypt (imgcrypt's `ctd-decoder`) as their file 3: an Any with JSON,
 * here without keys, which such a program has of its own. undefined: not for an encrypted layer.
 */
export function decryptionPayload(input: ProcessorInput): Uint8Array | undefined {
  const { mediaType, digest, size, annotations } = input;
  if (!mediaType.endsWith("+encrypted")) return undefined;
  const payload = {
    DecryptConfig: { Parameters: {} },
    Descriptor: { mediaType, digest, size, annotations },
  };
  const value = new TextEncoder().encode(JSON.stringify(payload));
  return toBinary(AnySchema, create(AnySchema, { typeUrl: PAYLOAD_URL, value }));
}
