import { unimplemented } from "../errors/index.js";
import { DerReader, derInvalid, derTags } from "./der-reader.js";
import { RECIPIENTS_MAX } from "./limits.js";

/** Object identifiers as DER has them, in hexadecimal. */
const oids = {
  envelopedData: "2a864886f70d010703",
  rsaEncryption: "2a864886f70d010101",
} as const;

type ContentCipher = {
  readonly name:
    | "aes-128-cbc"
    | "aes-192-cbc"
    | "aes-256-cbc"
    | "aes-128-gcm"
    | "aes-192-gcm"
    | "aes-256-gcm";
  readonly keyBytes: 16 | 24 | 32;
};

/** 2.16.840.1.101.3.4.1.n (RFC 3565, RFC 5084). */
const contentCiphers: Readonly<Record<string, ContentCipher>> = {
  "608648016503040102": { name: "aes-128-cbc", keyBytes: 16 },
  "608648016503040116": { name: "aes-192-cbc", keyBytes: 24 },
  "60864801650304012a": { name: "aes-256-cbc", keyBytes: 32 },
  "608648016503040106": { name: "aes-128-gcm", keyBytes: 16 },
  "60864801650304011a": { name: "aes-192-gcm", keyBytes: 24 },
  "60864801650304012e": { name: "aes-256-gcm", keyBytes: 32 },
};

/** Bytes of the tag that stands behind what GCM encrypted. */
export const GCM_TAG_BYTES = 16;

/** EnvelopedData of PKCS#7 (RFC 5652 §6.1), as far as RSA can open it. */
export interface EnvelopedData {
  /** The content's key, encrypted by RSA with the padding of PKCS#1 v1.5 for one recipient each. */
  readonly encryptedKeys: readonly Buffer[];
  readonly cipher: ContentCipher;
  readonly iv: Buffer;
  /** With GCM the tag stands at the end. */
  readonly content: Buffer;
}

/** @throws INVALID_ARGUMENT; UNIMPLEMENTED for a content cipher other than AES */
export function readEnvelopedData(packet: Buffer): EnvelopedData {
  const info = new DerReader(packet).enter(derTags.sequence);
  if (info.take(derTags.objectIdentifier).toString("hex") !== oids.envelopedData) {
    throw derInvalid("want EnvelopedData");
  }
  const data = info.enter(derTags.context0Constructed).enter(derTags.sequence);
  data.take(derTags.integer);
  let recipients = data.next();
  // OriginatorInfo, which RSA does not need.
  if (recipients.tag === derTags.context0Constructed) recipients = data.next();
  if (recipients.tag !== derTags.set) throw derInvalid("want a set of recipients");
  const encryptedKeys = readRecipients(data.inside(recipients.content));
  return { encryptedKeys, ...readContent(data.enter(derTags.sequence)) };
}

function readRecipients(recipients: DerReader): Buffer[] {
  const encryptedKeys: Buffer[] = [];
  for (let count = 0; !recipients.isAtEnd; count += 1) {
    if (count === RECIPIENTS_MAX) throw derInvalid(`want at most ${RECIPIENTS_MAX} recipients`);
    const recipient = recipients.next();
    // Other kinds of recipients have tags of their context.
    if (recipient.tag !== derTags.sequence) continue;
    const fields = recipients.inside(recipient.content);
    fields.take(derTags.integer);
    // Who it is: the private keys tell by fitting, so no certificate is needed.
    fields.next();
    const algorithm = fields.enter(derTags.sequence).take(derTags.objectIdentifier).toString("hex");
    if (algorithm === oids.rsaEncryption) encryptedKeys.push(fields.take(derTags.octets));
  }
  return encryptedKeys;
}

function readContent(info: DerReader): Pick<EnvelopedData, "cipher" | "iv" | "content"> {
  info.take(derTags.objectIdentifier);
  const algorithm = info.enter(derTags.sequence);
  const cipher = contentCiphers[algorithm.take(derTags.objectIdentifier).toString("hex")];
  if (cipher === undefined) {
    throw unimplemented("Cannot read a wrapped key as PKCS#7: want its content encrypted by AES", {
      reason: "encryption-scheme-unknown",
    });
  }
  const isGcm = cipher.name.endsWith("gcm");
  const iv = isGcm ? readGcmNonce(algorithm) : algorithm.take(derTags.octets);
  if (iv.length !== (isGcm ? 12 : 16)) throw derInvalid("the initial value has a wrong length");
  const content = readOctets(info);
  if (isGcm && content.length < GCM_TAG_BYTES) throw derInvalid("the content is shorter than its tag");
  return { cipher, iv, content };
}

function readGcmNonce(algorithm: DerReader): Buffer {
  const { tag, content } = algorithm.next();
  if (tag === derTags.primitiveSequence) {
    const parameters = algorithm.inside(content).enter(derTags.sequence);
    return withTagChecked(parameters, parameters.take(derTags.context4));
  }
  if (tag !== derTags.sequence) throw derInvalid("want parameters of GCM");
  const parameters = algorithm.inside(content);
  return withTagChecked(parameters, parameters.take(derTags.octets));
}

function withTagChecked(parameters: DerReader, nonce: Buffer): Buffer {
  const length = parameters.isAtEnd ? Buffer.of(12) : parameters.take(derTags.integer);
  if (length.length !== 1 || length[0] !== GCM_TAG_BYTES)
    throw derInvalid(`want a tag of ${GCM_TAG_BYTES} bytes`);
  return nonce;
}

/** The content is one value, or several that follow each other. */
function readOctets(info: DerReader): Buffer {
  const { tag, content } = info.next();
  if (tag === derTags.context0) return content;
  if (tag !== derTags.context0Constructed) throw derInvalid("want encrypted content");
  const parts: Buffer[] = [];
  for (const inside = info.inside(content); !inside.isAtEnd; ) parts.push(inside.take(derTags.octets));
  return Buffer.concat(parts);
}
