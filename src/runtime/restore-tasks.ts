import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { LazuliError } from "../errors/index.js";
import { log } from "../observe/index.js";
import { type Bundle, bundleFile, bundleOf, bundlesFolder } from "./bundle.js";
import { shutDown } from "./held-task.js";
import { deleteDead, loadShim, type Shim, type ShimSettings } from "./shim.js";

/** Shims that are asked at once; the others wait for their turn. */
const LOADS_AT_ONCE_MAX = 16;

export interface RestoredTask {
  readonly shim: Shim;
  readonly pid: number;
}

/**
 * Finds the shims that run on from before our start. Bundles of dead shims, shims without a task, and folders without a
 * bundle go. Nothing that fails keeps the others from being restored.
 */
export async function restoreTasks(settings: ShimSettings): Promise<RestoredTask[]> {
  const bundles = await findBundles(settings);
  const restored: RestoredTask[] = [];
  const queue = [...bundles];
  const work = async (): Promise<void> => {
    for (let bundle = queue.shift(); bundle !== undefined; bundle = queue.shift()) {
      const task = await restoreTask(settings, bundle);
      if (task !== undefined) restored.push(task);
    }
  };
  await Promise.all(Array.from({ length: LOADS_AT_ONCE_MAX }, work));
  await removeWorkFolders(settings);
  const order = new Map(bundles.map(({ path }, index) => [path, index]));
  return restored.sort((a, b) => order.get(a.shim.bundle.path)! - order.get(b.shim.bundle.path)!);
}

async function findBundles({ folders }: ShimSettings): Promise<Bundle[]> {
  const bundles: Bundle[] = [];
  const top = bundlesFolder(folders.state);
  for (const namespace of await namesIn(top)) {
    for (const id of await namesIn(join(top, namespace))) {
      const path = join(top, namespace, id);
      // A dot: the rest of a deletion.
      if (id.startsWith(".") || (await namesIn(path)).length === 0) {
        await rm(path, { recursive: true, force: true });
      } else bundles.push(bundleOf(folders, { namespace, id }));
    }
  }
  return bundles;
}

async function restoreTask(settings: ShimSettings, bundle: Bundle): Promise<RestoredTask | undefined> {
  const facts = { id: bundle.id, namespace: bundle.namespace };
  try {
    const shim = await loadShim(settings, bundle);
    try {
      const timeoutMs = settings.timeouts.loadMs;
      const { pid } = await shim.tasks.call("state", { id: bundle.id }, { timeoutMs });
      log.debug("Found a task again", { ...facts, pid });
      return { shim, pid };
    } catch (thrown) {
      if (LazuliError.from(thrown).code === "NOT_FOUND" && shim.sandboxId === "") {
        log.warn("A shim runs without a task; ending it", facts);
        await shutDown(shim, settings);
      }
      shim.close();
      throw thrown;
    }
  } catch (thrown) {
    log.warn("Cannot find a task again; cleaning up after it", {
      ...facts,
      error: LazuliError.from(thrown).message,
    });
    await cleanUp(settings, bundle);
    return undefined;
  }
}

async function cleanUp(settings: ShimSettings, bundle: Bundle): Promise<void> {
  try {
    const program = await bundleFile(bundle, "shim-binary-path");
    await deleteDead(settings, { bundle, program });
  } catch (thrown) {
    log.error("Cannot delete a bundle", { id: bundle.id, error: LazuliError.from(thrown).message });
  }
}

async function removeWorkFolders({ folders }: ShimSettings): Promise<void> {
  const top = bundlesFolder(folders.root);
  for (const namespace of await namesIn(top)) {
    const kept = new Set(await namesIn(join(bundlesFolder(folders.state), namespace)));
    for (const id of await namesIn(join(top, namespace))) {
      if (!kept.has(id)) await rm(join(top, namespace, id), { recursive: true, force: true });
    }
  }
}

/** Nothing for a folder that is not there. */
async function namesIn(folder: string): Promise<string[]> {
  return await readdir(folder).catch((thrown: NodeJS.ErrnoException) => {
    if (thrown.code === "ENOENT" || thrown.code === "ENOTDIR") return [];
    throw thrown;
  });
}
