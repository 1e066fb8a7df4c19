import {
  containers,
  contents,
  images,
  ingests,
  type KeyParts,
  leaseResources,
  leases,
  type Metadata,
  namespacedSnapshots,
  snapshotRows,
  snapshotTables,
} from "../metadata/index.js";
import type { Finding } from "./fsck-finding.js";
import type { FsckParts } from "./fsck-parts.js";
import { rawRows, soundRow, soundRows } from "./fsck-rows.js";
import { kindOf } from "./snapshotter-kinds.js";

const REFERENCE = "containerd.io/gc.ref.content";
const SNAPSHOTS = "snapshots/";

/** Rows that name what is not there. */
export async function checkReferences(parts: FsckParts): Promise<Finding[]> {
  return [
    ...(await checkImages(parts)),
    ...(await checkLabels(parts)),
    ...(await checkLeases(parts)),
    ...(await checkContainers(parts)),
  ];
}

async function checkImages({ metadata }: FsckParts): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const row of await soundRows(metadata, images)) {
    if (soundRow(metadata, contents, [row.namespace, row.target.digest]) !== undefined) continue;
    findings.push({
      kind: "image-target-missing",
      severity: "damage",
      subject: `${row.namespace}/${row.name}`,
      detail: `it leads to ${row.target.digest}, which the namespace does not have`,
      wayOut: "Pull it again; --repair removes the name",
      repair: async () =>
        await metadata.write((transaction) => transaction.delete(images, [row.namespace, row.name]), {
          isRemoval: true,
        }),
    });
  }
  return findings;
}

async function checkLabels({ metadata }: FsckParts): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const row of await soundRows(metadata, contents)) {
    for (const [label, digest] of Object.entries(row.labels)) {
      const isReference = label === REFERENCE || /^[./]/.test(label.slice(REFERENCE.length));
      if (!label.startsWith(REFERENCE) || !isReference) continue;
      if (soundRow(metadata, contents, [row.namespace, digest]) !== undefined) continue;
      findings.push({
        kind: "label-target-missing",
        severity: "note",
        subject: `${row.namespace}/${row.digest}`,
        detail: `${label} leads to ${digest}, which the namespace does not have`,
        wayOut:
          "None needed for layers that are lazy and platforms that were not pulled; else pull the image again",
        repair: undefined,
      });
    }
  }
  return findings;
}

async function checkLeases({ metadata }: FsckParts): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const { key } of await rawRows(metadata, leaseResources.name)) {
    const [namespace, lease, type, id] = key.map(String) as [string, string, string, string];
    const hasLease = soundRow(metadata, leases, [namespace, lease]) !== undefined;
    if (hasLease && isResourceThere(metadata, { namespace, type, id })) continue;
    findings.push({
      kind: hasLease ? "lease-resource-missing" : "lease-missing",
      severity: "leftover",
      subject: `${namespace}/${lease}`,
      detail: hasLease
        ? `it holds ${type} ${id}, which is gone`
        : `it is gone, and ${type} ${id} is still held by it`,
      wayOut: "Harmless; --repair takes it out of the lease",
      repair: async () =>
        await metadata.write((transaction) => transaction.delete(leaseResources, key), { isRemoval: true }),
    });
  }
  return findings;
}

function isResourceThere(
  metadata: Metadata,
  resource: { readonly namespace: string; readonly type: string; readonly id: string },
): boolean {
  const { namespace, type, id } = resource;
  if (type === "content") return soundRow(metadata, contents, [namespace, id]) !== undefined;
  if (type === "ingests") return soundRow(metadata, ingests, [namespace, id]) !== undefined;
  if (type === "images") return soundRow(metadata, images, [namespace, id]) !== undefined;
  if (!type.startsWith(SNAPSHOTS)) return false;
  const key: KeyParts = [namespace, type.slice(SNAPSHOTS.length), id];
  return soundRow(metadata, namespacedSnapshots, key) !== undefined;
}

async function checkContainers({ metadata }: FsckParts): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const row of await soundRows(metadata, containers)) {
    if (row.snapshotKey === "") continue;
    const key = [row.namespace, row.snapshotter, row.snapshotKey];
    if (soundRow(metadata, namespacedSnapshots, key) !== undefined) continue;
    findings.push({
      kind: "container-snapshot-missing",
      severity: "damage",
      subject: `${row.namespace}/${row.id}`,
      detail: `its snapshot ${row.snapshotKey} of ${row.snapshotter} is gone`,
      wayOut: "It can't be started: remove it with the client that made it, and make it anew",
      repair: undefined,
    });
  }
  return findings;
}

/** Snapshots of namespaces that lead to none below. */
export async function checkNamespacedSnapshots({ metadata }: FsckParts): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const row of await soundRows(metadata, namespacedSnapshots)) {
    const kind = kindOf(metadata, row.snapshotter);
    // What is behind a socket can't be looked at.
    if (kind === "proxy") continue;
    const below = kind === "lazy" ? snapshotRows : snapshotTables(row.snapshotter).rows;
    if (soundRow(metadata, below, [row.storeKey]) !== undefined) continue;
    const key = [row.namespace, row.snapshotter, row.key];
    findings.push({
      kind: "snapshot-missing",
      severity: "damage",
      subject: `${row.namespace}/${row.snapshotter}/${row.key}`,
      detail: `it leads to the snapshot ${row.storeKey}, which is gone`,
      wayOut: "--repair removes the row, so that the next pull unpacks the layer again",
      repair: async () =>
        await metadata.write((transaction) => transaction.delete(namespacedSnapshots, key), {
          isRemoval: true,
        }),
    });
  }
  return findings;
}
