import { mkdir, mkdtemp, rmdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { log } from "../observe/index.js";
import type { IdMapping } from "./id-mapping.js";
import { cloneForMapping, mapIds, openUserNamespace } from "./map-ids.js";
import type { MountPlan } from "./mount-plan.js";
import type { MountBinding } from "./mount-spec.js";
import { OpenFiles } from "./open-files.js";
import { type OverlayAbilities, overlayAbilities } from "./overlay-abilities.js";
import {
  fitsPage,
  type OverlayLower,
  type OverlaySettings,
  overlayData,
  overlaySettings,
  seenFromParent,
  tooLong,
} from "./overlay-layers.js";
import { pathValue } from "./path-value.js";
import { detachQuietly } from "./undo.js";

/** What a mount is made with. */
export interface MountWork {
  readonly binding: MountBinding;
  readonly plan: MountPlan;
  readonly target: string;
  readonly signal?: AbortSignal | undefined;
}

/** A layer that stands for another: a mount of its own, by its descriptor. */
type MappedLower = OverlayLower & { readonly mountFd?: number };

/**
 * Mounts an overlay. Its layers may be mapped: they are mounted idmapped first, which only the overlay sees, and the
 * upper layer has the host's ids.
 */
export async function mountOverlay(work: MountWork): Promise<void> {
  const { binding, plan } = work;
  const settings = overlaySettings(plan.settings);
  const abilities = await overlayAbilities(binding);
  if (plan.idMapping === undefined) {
    await mountLayers(work, settings, abilities);
    return;
  }
  await using files = new OpenFiles();
  const mapped = await mapLowers(binding, { lowers: settings.lowers, mapping: plan.idMapping, files });
  if (abilities.takesDescriptors) {
    try {
      await mountLayers(work, { ...settings, lowers: mapped }, abilities);
      return;
    } catch (thrown) {
      // Before Linux 6.15 a layer has to be mounted somewhere; a real EINVAL comes again below.
      if ((thrown as NodeJS.ErrnoException).code !== "EINVAL") throw thrown;
    }
  }
  await withPlaces(binding, mapped, async (lowers) => {
    await mountLayers(work, { ...settings, lowers }, abilities);
  });
}

async function mapLowers(
  binding: MountBinding,
  options: { lowers: readonly OverlayLower[]; mapping: IdMapping; files: OpenFiles },
): Promise<(OverlayLower & { readonly mountFd: number })[]> {
  const { lowers, mapping, files } = options;
  const userNamespaceFd = await openUserNamespace(binding, mapping, files);
  const mapped: (OverlayLower & { readonly mountFd: number })[] = [];
  for (const lower of lowers) {
    const mountFd = await cloneForMapping(binding, { path: lower.path, isRecursive: false, files });
    await mapIds(binding, { mountFd, userNamespaceFd, isRecursive: false, source: lower.path });
    mapped.push({ ...lower, mountFd });
  }
  return mapped;
}

/** Mounts the layers in a folder for as long as the work takes; an overlay keeps its layers by itself. */
async function withPlaces(
  binding: MountBinding,
  lowers: readonly (OverlayLower & { readonly mountFd: number })[],
  work: (lowers: readonly OverlayLower[]) => Promise<void>,
): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-lowers-"));
  const places: string[] = [];
  try {
    for (const [index, { mountFd }] of lowers.entries()) {
      const place = join(folder, String(index));
      await mkdir(place);
      places.push(place);
      await binding.mounts.attach(mountFd, place);
    }
    await work(lowers.map(({ isDataOnly }, index) => ({ path: places[index]!, isDataOnly })));
  } finally {
    for (const place of places) {
      await detachQuietly(binding, place);
      await removeFolder(place);
    }
    await removeFolder(folder);
  }
}

/** Never with what is in it: that may be a layer. */
async function removeFolder(path: string): Promise<void> {
  try {
    await rmdir(path);
  } catch (thrown) {
    log.warn("Cannot remove a folder that a layer was mounted on", { path, error: String(thrown) });
  }
}

async function mountLayers(
  work: MountWork,
  settings: OverlaySettings & { readonly lowers: readonly MappedLower[] },
  abilities: OverlayAbilities,
): Promise<void> {
  if (abilities.takesLowersSingly) await mountSingly(work, settings, abilities);
  else await mountByPage(work, settings);
}

async function mountSingly(
  work: MountWork,
  settings: OverlaySettings & { readonly lowers: readonly MappedLower[] },
  abilities: OverlayAbilities,
): Promise<void> {
  const { binding, plan, target, signal } = work;
  await using files = new OpenFiles();
  const value = async (path: string): Promise<string | number> =>
    await pathValue(binding, { path, takesDescriptors: abilities.takesDescriptors, files });
  const all: [string, string | number | undefined][] = [["source", plan.source]];
  for (const [key, text] of settings.others) {
    const isPath = (key === "upperdir" || key === "workdir") && text !== undefined;
    all.push([key, isPath ? await value(text) : text]);
  }
  for (const { path, isDataOnly, mountFd } of settings.lowers) {
    all.push([isDataOnly ? "datadir+" : "lowerdir+", mountFd ?? (await value(path))]);
  }
  for (const flag of plan.fileSystemFlags) all.push([flag, undefined]);
  const mountFd = files.keep(await binding.mounts.make("overlay", all, plan.attributes));
  signal?.throwIfAborted();
  await binding.mounts.attach(mountFd, target);
}

/** All options have to fit into one page: by short names of the same layers, in the end by their descriptors' numbers. */
async function mountByPage(work: MountWork, settings: OverlaySettings): Promise<void> {
  const { binding, plan, target } = work;
  const { source, flags } = plan;
  const absolute = overlayData(settings);
  if (fitsPage(absolute)) {
    await binding.mount(source, target, "overlay", flags, absolute);
    return;
  }
  const near = seenFromParent(settings.lowers);
  const relative = overlayData({ ...settings, lowers: near.lowers });
  if (fitsPage(relative)) {
    await binding.mounts.mountFrom(near.folder, source, target, "overlay", flags, relative);
    return;
  }
  await using files = new OpenFiles();
  const open = async (path: string): Promise<string> =>
    String(files.keep(await binding.mounts.openPlace(path)));
  const lowers: OverlayLower[] = [];
  for (const lower of settings.lowers) lowers.push({ ...lower, path: await open(lower.path) });
  const others: (readonly [string, string | undefined])[] = [];
  for (const [key, text] of settings.others) {
    const isPath = (key === "upperdir" || key === "workdir") && text !== undefined;
    others.push([key, isPath ? await open(text) : text]);
  }
  const numbers = overlayData({ lowers, others });
  if (!fitsPage(numbers)) throw tooLong(numbers, target);
  await binding.mounts.mountFrom("/proc/self/fd", source, target, "overlay", flags, numbers);
}
