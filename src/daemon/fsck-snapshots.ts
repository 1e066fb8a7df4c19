import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { digestFileName } from "../bytes/index.js";
import { remoteTargets, type SnapshotRow, snapshotRows } from "../metadata/index.js";
import type { Finding, FindingKind } from "./fsck-finding.js";
import { type FsckParts, isThere, rootPaths } from "./fsck-parts.js";
import { checkNamespacedSnapshots } from "./fsck-references.js";
import { soundRow, soundRows } from "./fsck-rows.js";

interface Broken {
  readonly kind: FindingKind;
  readonly detail: string;
}

/** The snapshots' rows against each other, their folders and the engine's layers. */
export async function checkSnapshots(parts: FsckParts): Promise<Finding[]> {
  const rows = new Map((await soundRows(parts.metadata, snapshotRows)).map((row) => [row.name, row]));
  const broken = await brokenRows(parts, rows);
  return [
    ...[...broken].map(([name, why]) => brokenSnapshot(parts, rows.get(name)!, why)),
    ...childCounts(parts, rows, broken),
    ...(await orphanFolders(parts, rows)),
    ...(await checkNamespacedSnapshots(parts)),
  ];
}

async function brokenRows(
  parts: FsckParts,
  rows: ReadonlyMap<string, SnapshotRow>,
): Promise<Map<string, Broken>> {
  const paths = rootPaths(parts.root);
  const broken = new Map<string, Broken>();
  for (const row of rows.values()) {
    if (row.layerDigest !== undefined) {
      if (await isThere(join(paths.layers, digestFileName(row.layerDigest)))) continue;
      broken.set(row.name, {
        kind: "snapshot-layer-missing",
        detail: `its layer ${row.layerDigest} is gone`,
      });
    } else if (!(await isThere(join(paths.snapshots, String(row.id), "fs")))) {
      broken.set(row.name, {
        kind: "snapshot-folder-missing",
        detail: `its folder snapshots/${row.id} is gone`,
      });
    }
  }
  // What lies on a broken one is broken: walks each chain until something known.
  const sound = new Set<string>();
  for (const row of rows.values()) {
    const chain: SnapshotRow[] = [];
    let at: SnapshotRow | undefined = row;
    let why: Broken | undefined;
    while (at !== undefined && !sound.has(at.name) && !chain.includes(at)) {
      chain.push(at);
      if (broken.has(at.name)) break;
      if (at.parent === "") break;
      const parent: SnapshotRow | undefined = rows.get(at.parent);
      if (parent === undefined) {
        why = { kind: "snapshot-parent-missing", detail: `its parent ${at.parent} is gone` };
        broken.set(at.name, why);
      }
      at = parent;
    }
    const last = chain.at(-1);
    const isBroken = last !== undefined && broken.has(last.name);
    for (const one of chain) {
      if (!isBroken) sound.add(one.name);
      else if (!broken.has(one.name)) {
        broken.set(one.name, {
          kind: "snapshot-parent-missing",
          detail: `it lies on ${last.name}, which is broken`,
        });
      }
    }
  }
  return broken;
}

function brokenSnapshot(parts: FsckParts, row: SnapshotRow, why: Broken): Finding {
  return {
    kind: why.kind,
    severity: "damage",
    subject: row.name,
    detail: why.detail,
    wayOut:
      "--repair removes the row and keeps its folder below set-aside/; the next pull makes the layers of images again",
    repair: async () => {
      const folder = join(rootPaths(parts.root).snapshots, String(row.id));
      if (row.layerDigest === undefined && (await isThere(folder))) await parts.setAside(folder);
      await parts.metadata.write(
        (transaction) => {
          transaction.delete(snapshotRows, row.name);
          if (row.target === "") return;
          const parentId = row.parent === "" ? 0 : soundRow(parts.metadata, snapshotRows, [row.parent])?.id;
          const place = [parentId ?? 0, row.target];
          if (transaction.get(remoteTargets, place) === row.name) transaction.delete(remoteTargets, place);
        },
        { isRemoval: true },
      );
    },
  };
}

function childCounts(
  parts: FsckParts,
  rows: ReadonlyMap<string, SnapshotRow>,
  broken: ReadonlyMap<string, Broken>,
): Finding[] {
  const counts = new Map<string, number>();
  for (const { parent } of rows.values()) counts.set(parent, (counts.get(parent) ?? 0) + 1);
  const findings: Finding[] = [];
  for (const row of rows.values()) {
    const childCount = counts.get(row.name) ?? 0;
    if (row.childCount === childCount || broken.has(row.name)) continue;
    findings.push({
      kind: "snapshot-child-count",
      severity: "damage",
      subject: row.name,
      detail: `its row counts ${row.childCount} children, there are ${childCount}`,
      wayOut: "--repair writes the right count",
      repair: async () =>
        await parts.metadata.write((transaction) => {
          const now = transaction.get(snapshotRows, row.name);
          if (now !== undefined) transaction.put(snapshotRows, row.name, { ...now, childCount });
        }),
    });
  }
  return findings;
}

async function orphanFolders(parts: FsckParts, rows: ReadonlyMap<string, SnapshotRow>): Promise<Finding[]> {
  const { snapshots } = rootPaths(parts.root);
  if (!(await isThere(snapshots))) return [];
  const owned = new Set(
    [...rows.values()].filter((row) => row.layerDigest === undefined).map(({ id }) => String(id)),
  );
  const findings: Finding[] = [];
  for (const name of await readdir(snapshots)) {
    if (owned.has(name)) continue;
    const folder = join(snapshots, name);
    const isOurs = /^(new-)?\d+$/.test(name);
    findings.push({
      kind: isOurs ? "snapshot-folder-orphan" : "file-unknown",
      severity: "leftover",
      subject: folder,
      detail: isOurs ? "no snapshot has it" : "it is no snapshot's folder",
      wayOut: "lazuli's next clean-up deletes it; --repair moves it to set-aside/",
      repair: async () => void (await parts.setAside(folder)),
    });
  }
  return findings;
}
