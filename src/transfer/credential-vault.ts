import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from "node:crypto";
import { link, lstat, mkdir, readFile, unlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { dataLoss, failedPrecondition, type LazuliError } from "../errors/index.js";
import { readBoundedFile, replaceFile, syncFolder, writeSynced } from "../files/index.js";
import type { Credential } from "../registry/index.js";

export interface KeptCredential {
  /** `registry.example/library/python`. */
  readonly repository: string;
  readonly credential: Credential;
  /** Milliseconds since 1970; 0: as long as there is an image of the repository. */
  readonly untilMs: number;
}

export interface CredentialVault {
  /** None where there is no file. @throws DATA_LOSS, FAILED_PRECONDITION */
  read(): Promise<readonly KeptCredential[]>;
  /** All of it, or nothing. */
  write(kept: readonly KeptCredential[]): Promise<void>;
}

/** A larger file is none of ours. */
const FILE_BYTES_MAX = 64 * 1024 * 1024;
const MAGIC = Buffer.from("LZCRED01", "latin1");
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const HEAD_BYTES = MAGIC.length + NONCE_BYTES + TAG_BYTES;
const KEY_BYTES = 32;
const KEY_BYTES_MAX = 64 * 1024;
const UNREADABLE = {
  reason: "credential-vault-unreadable",
  hint: "Private images are pulled again to give their credentials anew",
};

/**
 * One file `credentials` in a private folder: magic, nonce, tag, then JSON under AES-256-GCM. Its key comes from
 * `keyPath`, or from a file `key` beside it that is made once.
 */
export async function openCredentialVault(options: {
  readonly folder: string;
  /** A file of at least 32 secret bytes, e.g. a credential of systemd; undefined: an own one. */
  readonly keyPath: string | undefined;
}): Promise<CredentialVault> {
  const { folder, keyPath } = options;
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const secret = await (keyPath === undefined ? ownSecret(join(folder, "key")) : readSecret(keyPath));
  const key = Buffer.from(hkdfSync("sha256", secret, "", "lazuli kept credentials", KEY_BYTES));
  const path = join(folder, "credentials");
  return {
    read: async () => {
      const bytes = await readSealed(path);
      return bytes === undefined ? [] : opened({ bytes, key, path });
    },
    write: async (kept) => await replaceFile(path, sealed(Buffer.from(JSON.stringify(kept)), key)),
  };
}

function sealed(text: Buffer, key: Buffer): Buffer {
  // Random: a count of writes could be set back by a copy of the disk, and one nonce serves one text only.
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv("aes-256-gcm", key, nonce).setAAD(MAGIC);
  const body = Buffer.concat([cipher.update(text), cipher.final()]);
  return Buffer.concat([MAGIC, nonce, cipher.getAuthTag(), body]);
}

function opened(options: { bytes: Buffer; key: Buffer; path: string }): readonly KeptCredential[] {
  const { bytes, key, path } = options;
  if (bytes.length < HEAD_BYTES || !bytes.subarray(0, MAGIC.length).equals(MAGIC)) throw unreadable(path);
  const nonce = bytes.subarray(MAGIC.length, MAGIC.length + NONCE_BYTES);
  try {
    const decipher = createDecipheriv("aes-256-gcm", key, nonce, { authTagLength: TAG_BYTES })
      .setAAD(MAGIC)
      .setAuthTag(bytes.subarray(HEAD_BYTES - TAG_BYTES, HEAD_BYTES));
    const text = Buffer.concat([decipher.update(bytes.subarray(HEAD_BYTES)), decipher.final()]);
    return JSON.parse(text.toString("utf8")) as KeptCredential[];
  } catch {
    // Another key, or changed bytes: the two look alike, and the parser's message would quote a secret.
    throw unreadable(path);
  }
}

function unreadable(path: string): LazuliError {
  return dataLoss(`Cannot read ${path}: want credentials under the present key, got something else`, {
    subject: path,
    ...UNREADABLE,
  });
}

async function ownSecret(path: string): Promise<Buffer> {
  const known = await readSecret(path).catch((thrown: unknown) => {
    if ((thrown as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw thrown;
  });
  if (known !== undefined) return known;
  const temporary = `${path}.${process.pid}`;
  await writeSynced(temporary, randomBytes(KEY_BYTES));
  try {
    // A link never takes the place of a key that somebody else has made meanwhile.
    await link(temporary, path).catch((thrown: NodeJS.ErrnoException) => {
      if (thrown.code !== "EEXIST") throw thrown;
    });
  } finally {
    await unlink(temporary);
  }
  await syncFolder(dirname(path));
  return await readSecret(path);
}

/** @throws FAILED_PRECONDITION; what the file system throws */
async function readSecret(path: string): Promise<Buffer> {
  const facts = await lstat(path);
  const isFit = facts.isFile() && facts.size >= KEY_BYTES && facts.size <= KEY_BYTES_MAX;
  if (isFit && (facts.mode & 0o077) === 0) return await readFile(path);
  throw failedPrecondition(
    `Cannot use the key ${path}: want a file of ${KEY_BYTES} bytes or more that only its owner reads, got mode 0${(facts.mode & 0o777).toString(8)} and ${facts.size} bytes`,
    { subject: path, reason: "credential-key-unfit", hint: `head -c 32 /dev/urandom, then chmod 0600` },
  );
}

async function readSealed(path: string): Promise<Buffer | undefined> {
  try {
    const what = "the kept credentials";
    return (await readBoundedFile(path, { bytesMax: FILE_BYTES_MAX, what, ...UNREADABLE })).bytes;
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw thrown;
  }
}
