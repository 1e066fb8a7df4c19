import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { linkSignals } from "../async/index.js";
import { LazuliError } from "../errors/index.js";
import { readMountInfo, unmountAll } from "../mounts/index.js";
import { log } from "../observe/index.js";
import { containersFolder } from "./container-names.js";
import { CRI_NAMESPACE, type Pod } from "./contract.js";
import { podsFolder } from "./pod-folders.js";
import type { PodParts } from "./pod-parts.js";
import { LEASE_KIND, LEASE_LABEL } from "./pod-run.js";
import type { Pods } from "./pods.js";
import type { StoredPod } from "./store.js";

/** Longest wait for one pod or container: one that hangs must not keep the others from the kubelet. */
const FIND_TIMEOUT_MS = 10_000;
/** Pods and containers that are asked at once. */
const PARALLEL_MAX = 16;

export interface RecoverOptions {
  readonly parts: PodParts;
  readonly pods: Pods;
}

/** Shows after a restart what runs on, and removes what nobody owns any more. */
export async function recover({ parts, pods }: RecoverOptions): Promise<void> {
  const { store, networks, folders } = parts;
  const damaged = new Set<string>();
  const onDamaged = (id: string, error: LazuliError): void => {
    damaged.add(id);
    log.error("Could not read what was stored of a pod or container", { id, error: error.message });
  };
  const storedPods = store.pods.stored(onDamaged);
  const storedContainers = store.containers.stored(onDamaged);
  await inParallel(storedPods, async (stored) => {
    store.pods.reserve(stored.record);
    store.pods.put(await foundPod(parts, stored));
  });
  for (const { record, state } of store.pods.list()) if (state === "ready") pods.watch(record.id);
  await inParallel(storedContainers, async (stored) => {
    store.containers.reserve(stored.record);
    using deadline = linkSignals([], FIND_TIMEOUT_MS);
    await parts.containers.recover(stored, { signal: deadline.signal });
  });
  const podIds = new Set([...damaged, ...storedPods.map(({ record }) => record.id)]);
  const containerIds = new Set([...damaged, ...storedContainers.map(({ record }) => record.id)]);
  for (const folder of [folders.root, folders.state]) {
    await removeOrphans(parts, { folder: podsFolder(folder), ids: podIds });
    await removeOrphans(parts, { folder: containersFolder(folder), ids: containerIds });
  }
  await removeLeases(parts, podIds);
  await networks.collect(storedPods.map(({ record }) => record));
}

async function foundPod({ runnerOf }: PodParts, { record }: StoredPod): Promise<Pod> {
  try {
    using deadline = linkSignals([], FIND_TIMEOUT_MS);
    return { record, ...(await runnerOf(record.sandboxer).find(record.id, { signal: deadline.signal })) };
  } catch (thrown) {
    log.error("Could not find out how a pod is", { pod: record.id, error: LazuliError.from(thrown).message });
    return { record, state: "unknown", pid: 0, address: "" };
  }
}

async function removeOrphans(
  { binding }: PodParts,
  { folder, ids }: { readonly folder: string; readonly ids: ReadonlySet<string> },
): Promise<void> {
  const names = await readdir(folder).catch(() => []); // Nothing was made there yet.
  for (const name of names.filter((one) => !ids.has(one))) {
    const orphan = join(folder, name);
    try {
      await unmountBelow(binding, orphan);
      await rm(orphan, { recursive: true, force: true });
      log.info("Removed what a pod or container left", { folder: orphan });
    } catch (thrown) {
      log.warn("Could not remove what a pod or container left", {
        folder: orphan,
        error: LazuliError.from(thrown).message,
      });
    }
  }
}

async function unmountBelow(binding: PodParts["binding"], folder: string): Promise<void> {
  const mounts = await readMountInfo();
  const below = mounts.filter(({ target }) => target.startsWith(`${folder}/`)).map(({ target }) => target);
  for (const target of below.reverse()) await unmountAll({ binding, target });
}

/** A kill between the lease of a pod and its record leaves the lease alone. */
async function removeLeases({ leases }: PodParts, podIds: ReadonlySet<string>): Promise<void> {
  const filters = [`labels.${JSON.stringify(LEASE_LABEL)}==${LEASE_KIND}`];
  for (const { id } of leases.list({ namespace: CRI_NAMESPACE, filters })) {
    if (!podIds.has(id)) await leases.delete({ namespace: CRI_NAMESPACE, id });
  }
}

async function inParallel<Item>(items: readonly Item[], work: (item: Item) => Promise<void>): Promise<void> {
  const waiting = [...items];
  const workers = Array.from({ length: PARALLEL_MAX }, async () => {
    for (let item = waiting.shift(); item !== undefined; item = waiting.shift()) await work(item);
  });
  await Promise.all(workers);
}
