import { createHash } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Digest } from "../../src/bytes/index.js";
import { LazuliError } from "../../src/errors/index.js";
import { type BlobSource, Registry, type RegistryOptions } from "../../src/registry/index.js";
import {
  type RegistryServer,
  type RegistryServerOptions,
  startRegistry,
} from "../../testing/registry/index.js";

/** What of a tap test the rig needs. */
export interface Teardown {
  teardown(action: () => unknown): void;
}

export const quick: RegistryOptions = {
  stallTimeoutMs: 500,
  connectTimeoutMs: 2000,
  retry: { attempts: 3, minWaitMs: 1, maxWaitMs: 20 },
  dockerConfigPaths: [],
};

/** A client that gives up fast and knows no credentials, closed at the end of the test. */
export function makeRegistry(t: Teardown, options: RegistryOptions = {}): Registry {
  const registry = new Registry({ ...quick, ...options });
  t.teardown(() => registry.close());
  return registry;
}

export async function makeServer(t: Teardown, options: RegistryServerOptions = {}): Promise<RegistryServer> {
  const server = await startRegistry(options);
  t.teardown(() => server.stop());
  return server;
}

export async function makeFolder(t: Teardown): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-registry-test-"));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** A certs.d folder; values are the texts of `<host>/hosts.toml` or of other files by `<host>/<name>`. */
export async function makeCertsDirectory(
  t: Teardown,
  files: Readonly<Record<string, string>>,
): Promise<string> {
  const folder = await makeFolder(t);
  for (const [path, text] of Object.entries(files)) {
    await mkdir(join(folder, path, ".."), { recursive: true });
    await writeFile(join(folder, path), text);
  }
  return folder;
}

/** Bytes that look random and are the same each time. */
export function someBytes(sizeBytes: number, seed = "seed"): Buffer {
  const pieces: Buffer[] = [];
  for (let index = 0; index * 32 < sizeBytes; index += 1) {
    pieces.push(createHash("sha256").update(`${seed} ${index}`).digest());
  }
  return Buffer.concat(pieces).subarray(0, sizeBytes);
}

export async function readBytes(
  source: BlobSource,
  range: { offset: number; length: number; signal?: AbortSignal },
): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of source.readRange(range)) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** Opens a blob of a server under the repository `library/thing` and reads it whole. */
export async function readBlob(options: {
  registry: Registry;
  host: string;
  digest: Digest;
  size: number;
}): Promise<Buffer> {
  const { registry, host, digest, size } = options;
  const blob = await registry.openBlob({ reference: `${host}/library/thing:1`, digest, size });
  return await readBytes(blob, { offset: 0, length: size });
}

export async function errorOf(promise: Promise<unknown>): Promise<LazuliError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof LazuliError) return error;
    throw error;
  }
  throw new Error("Nothing was thrown");
}

/** Everything an error holds, as a log would print it. */
export function fullText(error: Error): string {
  const cause = error.cause instanceof Error ? fullText(error.cause) : String(error.cause);
  return [error.stack, JSON.stringify(error), cause].join("\n");
}
