import type { KeyObject } from "node:crypto";
import { type FileHandle, open, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { invalidArgument, LazuliError } from "../errors/index.js";
import { type KeySpec, parseKeySpec } from "./key-spec.js";
import { KEY_FILE_BYTES_MAX, KEY_FILES_MAX, KEY_FOLDER_DEPTH_MAX } from "./limits.js";
import { parsePrivateKey } from "./parse-key.js";

/** Private keys, and what stood in the way of others: sentences for people that hold no secret. */
export interface DecryptionKeys {
  readonly keys: readonly KeyObject[];
  readonly problems: readonly string[];
}

/**
 * Reads all private keys that places name (see `KeySpec`), anew each time, so that a new one counts at once. Files that
 * are no private keys are passed over; below a folder, names that begin with a dot are too, links to folders as well.
 * A place that is not there, or can't be read, is a problem and no error.
 */
export async function readDecryptionKeys(
  places: readonly string[],
  { signal }: { signal?: AbortSignal | undefined } = {},
): Promise<DecryptionKeys> {
  const keys: KeyObject[] = [];
  const problems: string[] = [];
  for (const place of places) {
    try {
      const spec = parseKeySpec(place);
      const passwords = await passwordsOf(spec);
      for (const path of await filesBelow(spec.path, problems)) {
        signal?.throwIfAborted();
        const key = await readKey({ path, passwords, problems });
        if (key !== undefined) keys.push(key);
      }
    } catch (thrown) {
      signal?.throwIfAborted();
      problems.push(sentenceOf(thrown));
    }
  }
  return { keys, problems };
}

/** As ocicrypt has it the whole file is the password; but an editor's last line feed is not. */
async function passwordsOf({ password }: KeySpec): Promise<readonly Buffer[]> {
  if (password.kind === "none") return [];
  if (password.kind === "text") return [Buffer.from(password.value)];
  const whole = await readBounded(password.value);
  return whole.at(-1) === 0x0a ? [whole, whole.subarray(0, -1)] : [whole];
}

async function readKey(options: {
  readonly path: string;
  readonly passwords: readonly Buffer[];
  readonly problems: string[];
}): Promise<KeyObject | undefined> {
  const { path, passwords, problems } = options;
  let bytes: Buffer;
  try {
    bytes = await readBounded(path);
  } catch (thrown) {
    problems.push(sentenceOf(thrown));
    return undefined;
  }
  let parsed = parsePrivateKey(bytes, passwords[0]);
  if (parsed.kind === "unusable" && passwords[1] !== undefined) parsed = parsePrivateKey(bytes, passwords[1]);
  if (parsed.kind === "unusable") problems.push(`${path}: ${parsed.why}`);
  return parsed.kind === "key" ? parsed.key : undefined;
}

/** The path itself, or the files below a folder, in order of their names. */
async function filesBelow(path: string, problems: string[]): Promise<string[]> {
  if (!(await stat(path)).isDirectory()) return [path];
  const found: string[] = [];
  const folders = [{ path, depth: 0 }];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    const entries = await readdir(folder.path, { withFileTypes: true });
    for (const entry of entries.sort((left, right) => (left.name < right.name ? -1 : 1))) {
      if (entry.name.startsWith(".")) continue;
      const below = join(folder.path, entry.name);
      if (entry.isDirectory() && folder.depth < KEY_FOLDER_DEPTH_MAX) {
        folders.push({ path: below, depth: folder.depth + 1 });
      } else if (entry.isFile() || (entry.isSymbolicLink() && (await isFile(below)))) {
        found.push(below);
      }
    }
  }
  if (found.length <= KEY_FILES_MAX) return found;
  problems.push(`${path}: only the first ${KEY_FILES_MAX} files are looked at`);
  return found.slice(0, KEY_FILES_MAX);
}

async function isFile(path: string): Promise<boolean> {
  return await stat(path).then(
    (facts) => facts.isFile(),
    () => false,
  );
}

async function readBounded(path: string): Promise<Buffer> {
  await using file = await open(path, "r");
  const bytes = Buffer.alloc(KEY_FILE_BYTES_MAX + 1);
  const length = await readFully(file, bytes);
  if (length > KEY_FILE_BYTES_MAX) {
    throw invalidArgument(`${path}: want at most ${KEY_FILE_BYTES_MAX} bytes`, {
      reason: "decryption-key-too-large",
    });
  }
  return bytes.subarray(0, length);
}

async function readFully(file: FileHandle, bytes: Buffer): Promise<number> {
  let length = 0;
  while (length < bytes.length) {
    const { bytesRead } = await file.read(bytes, length, bytes.length - length);
    if (bytesRead === 0) break;
    length += bytesRead;
  }
  return length;
}

function sentenceOf(thrown: unknown): string {
  const { code, path } = thrown as { code?: string; path?: string };
  if (thrown instanceof LazuliError || path === undefined) return LazuliError.from(thrown).message;
  return `${path}: ${code === "ENOENT" ? "it does not exist" : code}`;
}
