import { createPrivateKey, randomBytes } from "node:crypto";
import { chmod, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import t from "tap";
import { LazuliError } from "../../src/errors/index.js";
import {
  decryptLayer,
  hidePassword,
  type LayerKey,
  parseEncryption,
  parseKeySpec,
  readDecryptionKeys,
  unwrapLayerKey,
} from "../../src/ocicrypt/index.js";
import { readPkcs7 } from "../../src/ocicrypt/unwrap-pkcs7.js";
import { command } from "../../testing/rig/command.js";
import { type EncryptedBlob, encrypt, makeKeys, writeLayout } from "./encrypted-image.js";

const folder = await mkdtemp(join(tmpdir(), "lazuli-ocicrypt-"));
t.teardown(() => rm(folder, { recursive: true, force: true }));
const at = (name: string): string => join(folder, name);
await makeKeys(folder);
await writeFile(
  at("rsa.jwk"),
  JSON.stringify(createPrivateKey(await readFile(at("rsa-pkcs8.pem"))).export({ format: "jwk" })),
);
await writeFile(
  at("ec.jwk"),
  JSON.stringify(createPrivateKey(await readFile(at("ec-sec1.pem"))).export({ format: "jwk" })),
);
const plain = gzipSync(randomBytes(700_001));
await writeLayout(at("plain"), { bytes: plain, mediaType: "application/vnd.oci.image.layer.v1.tar+gzip" });
const encryptFor = async (...recipients: string[]): Promise<EncryptedBlob> =>
  await encrypt({ layout: at("plain"), recipients, keys: folder });
const images = {
  "RSA by JWE": await encryptFor("jwe:rsa.pub"),
  "P-256 by JWE": await encryptFor("jwe:ec.pub"),
  "two by JWE": await encryptFor("jwe:ec.pub", "jwe:rsa.pub"),
  "RSA by PKCS#7": await encryptFor("pkcs7:rsa.crt"),
  both: await encryptFor("jwe:ec.pub", "pkcs7:rsa.crt"),
};
const rsaPlaces = [
  at("rsa-pkcs8.pem"),
  at("rsa-pkcs1.pem"),
  at("rsa.der"),
  at("rsa.jwk"),
  `${at("rsa-locked.pem")}:pass=secret-word`,
  `${at("rsa-locked-pkcs1.pem")}:secret-word`,
  `${at("rsa-locked.pem")}:file=${at("password")}`,
];
const ecPlaces = [at("ec-sec1.pem"), at("ec-pkcs8.pem"), at("ec.jwk")];

async function keyFor(image: EncryptedBlob, ...places: string[]): Promise<LayerKey> {
  const encryption = parseEncryption(image.annotations);
  return await unwrapLayerKey({ encryption, ...(await readDecryptionKeys(places)), subject: "sha256:layer" });
}

async function decrypted(bytes: Buffer, key: LayerKey): Promise<Buffer> {
  const pieces: Buffer[] = [];
  const source = async function* () {
    for (let start = 0; start < bytes.length; start += 300_000) yield bytes.subarray(start, start + 300_000);
  };
  for await (const piece of decryptLayer({ key, bytes: source(), subject: "sha256:layer" }))
    pieces.push(piece);
  return Buffer.concat(pieces);
}

const fitting: Readonly<Record<keyof typeof images, readonly string[]>> = {
  "RSA by JWE": rsaPlaces,
  "P-256 by JWE": ecPlaces,
  "two by JWE": [rsaPlaces[0]!, ecPlaces[0]!],
  "RSA by PKCS#7": rsaPlaces,
  both: [rsaPlaces[0]!, ecPlaces[0]!],
};

for (const [name, image] of Object.entries(images)) {
  t.test(`a layer that skopeo encrypted is decrypted: ${name}`, async (t) => {
    t.equal(image.mediaType, "application/vnd.oci.image.layer.v1.tar+gzip+encrypted");
    t.notOk(image.bytes.equals(plain));
    for (const place of fitting[name as keyof typeof images]) {
      const key = await keyFor(image, at("other.pem"), place);
      t.ok((await decrypted(image.bytes, key)).equals(plain), hidePassword(place).replace(folder, ""));
    }
  });
}

t.test("unwrapLayerKey() says which keys were of no use when none fits, and no secret", async (t) => {
  const places = [
    at("other.pem"),
    at("rsa-locked.pem"),
    `${at("rsa-locked.pem")}:pass=not-the-word`,
    at("ed25519.pem"),
    at("nowhere.pem"),
  ];
  for (const image of Object.values(images)) {
    const error = LazuliError.from(await keyFor(image, ...places).catch((thrown: unknown) => thrown));
    t.match(error, { code: "FAILED_PRECONDITION", reason: "decryption-key-missing" });
    t.match(error.hint, "rsa-locked.pem: it needs a password");
    t.match(error.hint, "ed25519");
    t.notMatch(JSON.stringify([error.message, error.hint]), /not-the-word|PRIVATE/);
  }
  await t.rejects(
    keyFor(images.both),
    { code: "FAILED_PRECONDITION", reason: "decryption-key-missing" },
    "without any key",
  );
});

t.test("decryptLayer() ends with an error when the layer is not what was encrypted", async (t) => {
  const image = images["RSA by JWE"];
  const key = await keyFor(image, rsaPlaces[0]!);
  const flipped = Buffer.from(image.bytes);
  flipped[400_000]! ^= 1;
  const wrong = { code: "DATA_LOSS", reason: "decryption-hmac-mismatch" };
  await t.rejects(decrypted(flipped, key), wrong);
  await t.rejects(decrypted(image.bytes.subarray(0, -1), key), wrong);
  await t.rejects(decrypted(Buffer.concat([image.bytes, Buffer.of(0)]), key), wrong);
  await t.rejects(decrypted(Buffer.alloc(0), key), wrong);
  await t.rejects(decrypted(images.both.bytes, key), wrong, "another layer for the same key");
});

t.test("parseEncryption() refuses what it can't use", async (t) => {
  const { annotations } = images["RSA by JWE"];
  const prefix = "org.opencontainers.image.enc.";
  const packet = annotations[`${prefix}keys.jwe`]!;
  const pubopts = annotations[`${prefix}pubopts`]!;
  const options = JSON.parse(Buffer.from(pubopts, "base64").toString());
  const base64 = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64");
  const refused = (
    changes: Record<string, string | undefined>,
    error: { readonly code: string; readonly reason: string },
    name: string,
  ): void => {
    const entries = Object.entries({ jwe: packet, pubopts, ...changes })
      .filter(([, value]) => value !== undefined)
      .map(([key, value]) => [key === "pubopts" ? prefix + key : `${prefix}keys.${key}`, value]);
    t.throws(() => parseEncryption(Object.fromEntries(entries)), error, name);
  };
  const invalid = { code: "INVALID_ARGUMENT", reason: "encryption-annotations-invalid" };
  const unknown = { code: "UNIMPLEMENTED", reason: "encryption-scheme-unknown" };
  refused({ jwe: undefined }, invalid, "no key");
  refused({ jwe: "no base64!" }, invalid, "no base64");
  refused({ jwe: Array.from({ length: 65 }, () => "AAAA").join(",") }, invalid, "too many packets");
  refused(
    { jwe: "A".repeat(40_000) },
    { code: "RESOURCE_EXHAUSTED", reason: "encryption-annotations-too-large" },
    "too large",
  );
  for (const scheme of ["pgp", "pkcs11", "provider.kms"]) {
    refused({ jwe: undefined, [scheme]: "AAAA" }, unknown, scheme);
  }
  refused({ pubopts: undefined }, invalid, "no public options");
  refused(
    { pubopts: Buffer.from("{").toString("base64") },
    { code: "INVALID_ARGUMENT", reason: "json-invalid" },
    "no JSON",
  );
  refused({ pubopts: base64([]) }, invalid, "an array");
  refused({ pubopts: base64({ ...options, cipher: "ROT13" }) }, unknown, "another cipher");
  refused({ pubopts: base64({ ...options, hmac: "" }) }, invalid, "no HMAC");
  refused({ pubopts: base64({ ...options, cipheroptions: { nonce: "AAAA" } }) }, invalid, "a short nonce");
});

t.test("unwrapLayerKey() bounds its tries and passes over packets that it can't read", async (t) => {
  const { annotations } = images["RSA by JWE"];
  const name = "org.opencontainers.image.enc.keys.jwe";
  const broken = Buffer.from("{}").toString("base64");
  const image = (jwe: string): EncryptedBlob => ({
    ...images["RSA by JWE"],
    annotations: { ...annotations, [name]: jwe },
  });
  t.ok(await keyFor(image(`AAAA,${broken},${annotations[name]}`), rsaPlaces[0]!));
  await t.rejects(keyFor(image("AAAA"), rsaPlaces[0]!), { code: "INVALID_ARGUMENT" });
  await t.rejects(keyFor(image(broken), rsaPlaces[0]!), {
    code: "FAILED_PRECONDITION",
    reason: "decryption-key-missing",
  });
  const many = { protected: "", iv: "", ciphertext: "", tag: "", recipients: Array(64).fill({}) };
  const packets = Array(9)
    .fill(Buffer.from(JSON.stringify(many)).toString("base64"))
    .join(",");
  await t.rejects(keyFor(image(packets), rsaPlaces[0]!), {
    code: "RESOURCE_EXHAUSTED",
    reason: "decryption-too-many-recipients",
  });
  many.recipients.push({});
  const tooMany = Buffer.from(JSON.stringify(many)).toString("base64");
  await t.rejects(keyFor(image(tooMany), rsaPlaces[0]!), { code: "INVALID_ARGUMENT" });
});

t.test("readPkcs7() opens what OpenSSL made, for the right one of several recipients", async (t) => {
  const message = Buffer.from("what is to be kept secret");
  await writeFile(at("message"), message);
  await command(
    "openssl",
    ["req", "-x509", "-new", "-key", "other.pem", "-subj", "/CN=other", "-out", "other.crt"],
    { cwd: folder },
  );
  const rsa = createPrivateKey(await readFile(at("rsa-pkcs8.pem")));
  for (const cipher of ["-aes-128-cbc", "-aes-192-cbc", "-aes-256-cbc"]) {
    const flags = ["cms", "-encrypt", "-binary", cipher, "-in", "message", "-outform", "DER", "-out", "cms"];
    await command("openssl", [...flags, "other.crt", "rsa.crt"], { cwd: folder });
    const packet = readPkcs7(await readFile(at("cms")));
    t.equal(packet.recipientCount, 2);
    t.same(await packet.unwrap(rsa), message, cipher);
  }
  const other = ["cms", "-encrypt", "-binary", "-des3", "-in", "message", "-outform", "DER", "-out", "cms"];
  await command("openssl", [...other, "rsa.crt"], { cwd: folder });
  const bytes = await readFile(at("cms"));
  t.throws(() => readPkcs7(bytes), { code: "UNIMPLEMENTED" });
});

t.test("readPkcs7() survives any changed, lost or added byte", async (t) => {
  const rsa = createPrivateKey(await readFile(at("rsa-pkcs8.pem")));
  const bytes = Buffer.from(
    images["RSA by PKCS#7"].annotations["org.opencontainers.image.enc.keys.pkcs7"]!,
    "base64",
  );
  const right = await readPkcs7(bytes).unwrap(rsa);
  const outcome = async (changed: Buffer): Promise<string> => {
    try {
      const found = await readPkcs7(changed).unwrap(rsa);
      if (found === undefined) return "no key";
      return right !== undefined && found.equals(right) ? "the key" : "other bytes";
    } catch (thrown) {
      return thrown instanceof LazuliError ? "refused" : String(thrown);
    }
  };
  const seen = new Set<string>();
  for (let index = 0; index < bytes.length; index += 1) {
    const changed = Buffer.from(bytes);
    changed[index] = changed[index]! ^ (1 << (index % 8));
    seen.add(await outcome(changed));
    seen.add(await outcome(bytes.subarray(0, index)));
  }
  // In what nobody reads, the recipient's name among it, a change does no harm.
  t.same([...seen].sort(), ["no key", "refused", "the key"]);
  t.equal(await outcome(Buffer.from(`30${"80".repeat(64)}`, "hex")), "refused", "no length");
  t.equal(await outcome(Buffer.from(`3084ffffffff${"30".repeat(64)}`, "hex")), "refused", "a huge length");
});

t.test("readDecryptionKeys() reads folders as secrets are mounted in them", async (t) => {
  const keys = at("keys");
  await mkdir(join(keys, "..data"), { recursive: true });
  await mkdir(join(keys, "below"));
  await writeFile(join(keys, "..data", "rsa.pem"), await readFile(at("rsa-pkcs1.pem")));
  await symlink("..data/rsa.pem", join(keys, "rsa.pem"));
  await writeFile(join(keys, "below", "ec.pem"), await readFile(at("ec-sec1.pem")));
  for (const name of ["rsa.crt", "rsa.pub", "password"]) {
    await writeFile(join(keys, name), await readFile(at(name)));
  }
  await writeFile(join(keys, "notes.json"), '{"d": ');
  await writeFile(join(keys, "large"), Buffer.alloc(70_000));
  await symlink(keys, join(keys, "circle"));
  const read = await readDecryptionKeys([keys]);
  t.same(
    read.keys.map((key) => key.asymmetricKeyType),
    ["rsa", "ec"],
  );
  t.match(read.problems, [/large: want at most/]);
  t.equal(read.problems.length, 1);
  await chmod(keys, 0o700);
});

t.test("parseKeySpec() takes ocicrypt's syntax, and no message shows a password", async (t) => {
  t.same(parseKeySpec("/a"), { path: "/a", password: { kind: "none" } });
  t.same(parseKeySpec("/a:file=/b:c"), { path: "/a", password: { kind: "file", value: "/b:c" } });
  t.same(parseKeySpec("/a:pass=b:c"), { path: "/a", password: { kind: "text", value: "b:c" } });
  t.same(parseKeySpec("/a:b"), { path: "/a", password: { kind: "text", value: "b" } });
  for (const text of ["a.pem:pass=hushed", "/a:fd=3", "/a:file=hushed", "", "provider:hushed"]) {
    let error: unknown;
    try {
      parseKeySpec(text);
    } catch (thrown) {
      error = thrown;
    }
    t.ok(error instanceof LazuliError, text);
    t.notMatch(String(error), "hushed");
  }
  t.equal(hidePassword("/a:pass=b"), "/a:pass=…");
  t.equal(hidePassword("/a:b"), "/a:pass=…");
  t.equal(hidePassword("/a:file=/b"), "/a:file=/b");
  t.equal(hidePassword("/a"), "/a");
});
