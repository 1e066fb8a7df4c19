import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { type Digest, sha256 } from "../../src/bytes/index.js";
import type { ContentStore } from "../../src/content/index.js";
import { namespacedSnapshots } from "../../src/metadata/index.js";
import { type Facts, type FactValue, factKey, SNAPSHOTTER } from "./facts.js";
import type { StoreParts } from "./store-parts.js";

export const NAMESPACES = ["one", "two"] as const;

const READ_BYTES = 256 * 1024;

/** Everything that a client can see, asked of the real modules. */
export async function readFacts(parts: StoreParts): Promise<Facts> {
  const facts: Facts = new Map();
  for (const namespace of NAMESPACES) {
    for (const { name, labels, target } of parts.images.list({ namespace, filters: [] })) {
      facts.set(factKey("image", namespace, name), { labels, target: target.digest });
    }
    for (const { id, labels } of parts.leases.list({ namespace, filters: [] })) {
      facts.set(factKey("lease", namespace, id), { labels });
      for (const resource of parts.leases.listResources({ namespace, id })) {
        // An ingest is nothing that anybody was promised.
        if (resource.type === "ingests") continue;
        facts.set(factKey("lease-resource", namespace, id, resource.type, resource.id), {});
      }
    }
    for await (const { digest, size, labels } of parts.content.for({ namespace }).walk([])) {
      facts.set(factKey("content", namespace, digest), { size, labels });
    }
    await readSnapshots(parts, namespace, facts);
  }
  return facts;
}

async function readSnapshots(parts: StoreParts, namespace: string, facts: Facts): Promise<void> {
  const folders = new Map(
    parts.below
      .rows()
      .filter(({ kind, layerDigest }) => kind === "committed" && layerDigest === undefined)
      .map(({ name, id }) => [name, join(parts.folder, "snapshots", String(id), "fs")]),
  );
  for await (const { name, kind, parent, labels } of parts.snapshots.for({ namespace }).walk([])) {
    const value: FactValue = { kind, parent, labels };
    const row = parts.metadata.get(namespacedSnapshots, [namespace, SNAPSHOTTER, name]);
    const folder = folders.get(row?.storeKey ?? "");
    const files = folder === undefined ? {} : await filesUnder(folder);
    facts.set(factKey("snapshot", namespace, name), { ...value, files });
  }
}

async function filesUnder(folder: string): Promise<Record<string, string>> {
  const files: Record<string, string> = {};
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    files[path.slice(folder.length + 1)] = sha256(await readFile(path));
  }
  return files;
}

/** What is wrong with the bytes that the store serves for a digest; undefined: nothing. */
export async function blobFault(store: ContentStore, digest: Digest): Promise<string | undefined> {
  const hash = createHash(digest.slice(0, digest.indexOf(":")));
  await using reader = await store.open(digest);
  for (let offset = 0; offset < reader.size; ) {
    const piece = await reader.read(offset, READ_BYTES);
    if (piece.length === 0) return `ends at ${offset} of ${reader.size}`;
    hash.update(piece);
    offset += piece.length;
  }
  const actual = hash.digest("hex");
  return digest.endsWith(`:${actual}`) ? undefined : `has the digest ${actual}`;
}
