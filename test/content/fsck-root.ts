import { createHash } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Test } from "tap";
import { type Digest, sha256 } from "../../src/bytes/index.js";
import { type FsckReport, fsck } from "../../src/daemon/index.js";
import { contents, images, type Metadata, openMetadata, snapshotRows } from "../../src/metadata/index.js";

export const at = 1_700_000_000_000_000_000n;
const namespace = "default";
const times = { createdAt: at, updatedAt: at };

/** A root with one image (index, manifest, config, layer) and one committed snapshot under an active one. */
export interface FsckRoot {
  readonly root: string;
  readonly digests: Readonly<Record<"index" | "manifest" | "config" | "layer", Digest>>;
  blobPath(digest: Digest): string;
  /** Changes the metadata as no lazuli would. */
  edit(change: (metadata: Metadata) => Promise<unknown>): Promise<void>;
  fsck(options?: { isRepair?: boolean; rebuildInto?: string }): Promise<FsckReport>;
  /** Kinds that are left, notes too, sorted. */
  kinds(options?: { isRepair?: boolean }): Promise<string[]>;
}

export async function fsckRoot(t: Test): Promise<FsckRoot> {
  const root = await mkdtemp(join(tmpdir(), "lazuli-fsck-"));
  t.teardown(async () => await rm(root, { recursive: true, force: true }));
  const blobPath = (digest: Digest): string => join(root, "content", "blobs", "sha256", digest.slice(7));
  const edit: FsckRoot["edit"] = async (change) => {
    const metadata = await openMetadata({ directory: join(root, "metadata") });
    try {
      await change(metadata);
    } finally {
      await metadata.close();
    }
  };
  const check: FsckRoot["fsck"] = async ({ isRepair = false, rebuildInto } = {}) =>
    await fsck({ root, isRepair, rebuildInto, now: () => at, onProgress: () => undefined });
  const kinds: FsckRoot["kinds"] = async (options = {}) =>
    (await check(options)).findings.map(({ kind }) => kind).sort();
  await mkdir(join(root, "content", "blobs", "sha256"), { recursive: true });
  await mkdir(join(root, "content", "ingest"));
  const digests = await writeImage(blobPath, edit);
  await writeSnapshots(root, edit);
  return { root, digests, blobPath, edit, fsck: check, kinds };
}

async function writeImage(
  blobPath: FsckRoot["blobPath"],
  edit: FsckRoot["edit"],
): Promise<FsckRoot["digests"]> {
  const layer = Buffer.from("layer".repeat(1000));
  const config = Buffer.from(JSON.stringify({ architecture: "amd64", os: "linux" }));
  const described = (bytes: Buffer, mediaType: string) => ({
    mediaType: `application/vnd.oci.image.${mediaType}`,
    digest: sha256(bytes),
    size: bytes.length,
  });
  const manifest = document({
    config: described(config, "config.v1+json"),
    layers: [described(layer, "layer.v1.tar")],
  });
  const index = document({ manifests: [described(manifest, "manifest.v1+json")] });
  const all = { index, manifest, config, layer };
  await edit(async (metadata) => {
    for (const bytes of Object.values(all)) {
      const digest = sha256(bytes);
      await writeFile(blobPath(digest), bytes);
      const row = { namespace, digest, size: bytes.length, labels: {}, ...times };
      await metadata.write((transaction) => transaction.put(contents, [namespace, digest], row));
    }
    const target = { ...described(index, "index.v1+json"), annotations: {} };
    await metadata.write((transaction) =>
      transaction.put(images, [namespace, "app"], { namespace, name: "app", labels: {}, target, ...times }),
    );
  });
  return {
    index: sha256(index),
    manifest: sha256(manifest),
    config: sha256(config),
    layer: sha256(layer),
  };
}

function document(fields: object): Buffer {
  return Buffer.from(JSON.stringify({ schemaVersion: 2, ...fields }));
}

async function writeSnapshots(root: string, edit: FsckRoot["edit"]): Promise<void> {
  const shared = {
    labels: {},
    usage: { size: 0, inodes: 0 },
    layerDigest: undefined,
    target: "",
    origin: undefined,
    fallback: undefined,
    ...times,
  };
  await edit(
    async (metadata) =>
      await metadata.write((transaction) => {
        const base = {
          id: 1,
          name: "base",
          parent: "",
          kind: "committed",
          childCount: 1,
          ...shared,
        } as const;
        const work = {
          id: 2,
          name: "work",
          parent: "base",
          kind: "active",
          childCount: 0,
          ...shared,
        } as const;
        transaction.put(snapshotRows, "base", base);
        transaction.put(snapshotRows, "work", work);
      }),
  );
  for (const id of [1, 2]) await mkdir(join(root, "snapshots", String(id), "fs"), { recursive: true });
}

/** The folder name of an ingest. */
export function ingestName(ref: string): string {
  return createHash("sha256").update(ref).digest("hex");
}
