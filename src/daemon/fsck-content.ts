import { createHash } from "node:crypto";
import { open, rm, unlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Digest } from "../bytes/index.js";
import { type CheckedBlob, referenceLabels } from "../content/index.js";
import { syncFolder } from "../files/index.js";
import { type ContentRow, contents, ingests, type KeyParts } from "../metadata/index.js";
import type { Finding } from "./fsck-finding.js";
import { type FsckParts, isThere } from "./fsck-parts.js";
import { checkedTables, isDamage, rawRows, soundRows } from "./fsck-rows.js";

/** Records whose checksum is wrong. */
export async function checkRecords(parts: FsckParts): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const table of checkedTables) {
    for (const { key, record } of await rawRows(parts.metadata, table.name)) {
      try {
        parts.metadata.get(table, key);
      } catch (thrown) {
        if (!isDamage(thrown)) throw thrown;
        const blob = table.name === contents.name ? goodBlob(parts, key) : undefined;
        findings.push({
          kind: "record-damaged",
          severity: "damage",
          subject: `${table.name} ${key.join("/")}`,
          detail: "its checksum or its shape is wrong",
          wayOut:
            blob === undefined
              ? "--repair keeps its bytes below set-aside/ and removes it; then make again what it stood for"
              : "--repair writes it anew from the blob; labels other than those of the blob's own references are lost",
          repair: async () => {
            await keepRecord(parts, `${table.name} ${key.join(" ")}`, record);
            const row = blob === undefined ? undefined : await rowOf(String(key[0]), blob);
            await parts.metadata.write((transaction) =>
              row === undefined ? transaction.delete(table, key) : transaction.put(contents, key, row),
            );
          },
        });
      }
    }
  }
  return findings;
}

function goodBlob(parts: FsckParts, key: KeyParts): CheckedBlob | undefined {
  const blob = parts.store.blobs.get(String(key[1]) as Digest);
  return blob?.damage === undefined ? blob : undefined;
}

/** A content row as a pull would have left it. */
export async function rowOf(namespace: string, blob: CheckedBlob): Promise<ContentRow> {
  const { digest, size, modifiedAt } = blob;
  const labels = await referenceLabels(blob);
  return { namespace, digest, size, labels, createdAt: modifiedAt, updatedAt: modifiedAt };
}

async function keepRecord(parts: FsckParts, name: string, record: Buffer): Promise<void> {
  const path = join(parts.root, `record-${createHash("sha256").update(name).digest("hex").slice(0, 32)}`);
  const file = await open(path, "w", 0o600);
  try {
    await file.writeFile(record);
    await file.sync();
  } finally {
    await file.close();
  }
  await parts.setAside(path);
}

/** Content rows against blobs, both ways. */
export async function checkContent(parts: FsckParts): Promise<Finding[]> {
  const { metadata, store } = parts;
  const findings: Finding[] = [];
  const owned = new Set<Digest>();
  // A damaged row's blob has an owner too: the row can be made anew from it.
  for (const { key } of await rawRows(metadata, contents.name)) owned.add(String(key[1]) as Digest);
  for (const row of await soundRows(metadata, contents)) {
    const blob = store.blobs.get(row.digest);
    if (blob === undefined) findings.push(blobMissing(parts, row));
    else if (blob.damage === undefined && blob.size !== row.size) findings.push(sizeWrong(parts, row, blob));
  }
  for (const row of await soundRows(metadata, ingests)) {
    if (row.expected !== undefined) owned.add(row.expected);
  }
  for (const blob of store.blobs.values()) {
    if (blob.damage !== undefined) findings.push(blobDamaged(parts, blob));
    else if (!owned.has(blob.digest)) findings.push(blobOrphan(parts, blob));
  }
  return findings;
}

function blobMissing(parts: FsckParts, row: ContentRow): Finding {
  return {
    kind: "blob-missing",
    severity: "damage",
    subject: row.digest,
    detail: `namespace ${row.namespace} has it, and its ${row.size} bytes are not on the disk`,
    wayOut: "--repair removes the row, so that the next pull fetches the blob again",
    repair: async () =>
      await parts.metadata.write((transaction) => transaction.delete(contents, [row.namespace, row.digest]), {
        isRemoval: true,
      }),
  };
}

function sizeWrong(parts: FsckParts, row: ContentRow, blob: CheckedBlob): Finding {
  return {
    kind: "row-size-wrong",
    severity: "damage",
    subject: row.digest,
    detail: `the row of namespace ${row.namespace} says ${row.size} bytes, the blob is sound and has ${blob.size}`,
    wayOut: "--repair writes the blob's size into the row",
    repair: async () =>
      await parts.metadata.write((transaction) =>
        transaction.put(contents, [row.namespace, row.digest], { ...row, size: blob.size }),
      ),
  };
}

function blobDamaged(parts: FsckParts, blob: CheckedBlob): Finding {
  return {
    kind: "blob-damaged",
    severity: "damage",
    subject: blob.digest,
    detail: `${blob.path}: ${blob.damage}`,
    wayOut: "--repair moves it to set-aside/ and removes its rows, so that the next pull fetches it again",
    repair: async () => {
      await parts.setAside(blob.path);
      forget(parts, blob.digest);
    },
  };
}

function blobOrphan(parts: FsckParts, blob: CheckedBlob): Finding {
  return {
    kind: "blob-orphan",
    severity: "leftover",
    subject: blob.digest,
    detail: `no namespace has it: ${blob.size} bytes`,
    wayOut:
      "The next collection removes it, and so does --repair; --rebuild-content gives it to a namespace instead",
    repair: async () => {
      await unlink(blob.path);
      await syncFolder(dirname(blob.path));
      forget(parts, blob.digest);
    },
  };
}

function forget(parts: FsckParts, digest: Digest): void {
  (parts.store.blobs as Map<Digest, CheckedBlob>).delete(digest);
}

/** Ingests that nobody will go on with, and files that are none of the store's. */
export async function checkIngestsAndFiles(parts: FsckParts): Promise<Finding[]> {
  const { metadata, store } = parts;
  const findings: Finding[] = [];
  const refs = new Set((await soundRows(metadata, ingests)).map((row) => row.storeRef));
  for (const { folder, ref } of store.ingests) {
    if ((ref !== undefined && refs.has(ref)) || !(await isThere(folder))) continue;
    findings.push({
      kind: "ingest-stale",
      severity: "leftover",
      subject: folder,
      detail:
        ref === undefined ? "it does not say its ref" : `no namespace has the ref ${JSON.stringify(ref)}`,
      wayOut: "The next collection removes it, and so does --repair",
      repair: async () => {
        await rm(folder, { recursive: true, force: true });
        await syncFolder(dirname(folder));
      },
    });
  }
  for (const row of await soundRows(metadata, ingests)) {
    if (row.expireAt === undefined || row.expireAt > parts.now()) continue;
    findings.push({
      kind: "ingest-stale",
      severity: "leftover",
      subject: `${row.namespace}/${row.ref}`,
      detail: "its time is over",
      wayOut: "The next collection removes it, and so does --repair",
      repair: async () =>
        await metadata.write((transaction) => transaction.delete(ingests, [row.namespace, row.ref]), {
          isRemoval: true,
        }),
    });
  }
  for (const path of store.unknown) {
    if (!(await isThere(path))) continue;
    findings.push({
      kind: "file-unknown",
      severity: "leftover",
      subject: path,
      detail: "it is no blob and no ingest",
      wayOut: "Look who put it there; --repair moves it to set-aside/",
      repair: async () => void (await parts.setAside(path)),
    });
  }
  return findings;
}
