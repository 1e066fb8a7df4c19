import { idMappingUnsupported, mapIds, openUserNamespace } from "./map-ids.js";
import { isMissingCall, mountError } from "./mount-error.js";
import { MS_BIND, MS_REC, MS_REMOUNT } from "./mount-flags.js";
import { planMount } from "./mount-plan.js";
import type { MountBinding, MountSpec } from "./mount-spec.js";
import { OpenFiles } from "./open-files.js";
import { type MountWork, mountOverlay } from "./overlay-mount.js";
import { pathValue } from "./path-value.js";
import { detachQuietly } from "./undo.js";

export interface PlaceMountOptions {
  readonly binding: MountBinding;
  readonly spec: MountSpec;
  /** Exists; a real path. */
  readonly target: string;
  readonly signal?: AbortSignal | undefined;
}

/** Makes one mount, or none. @throws LazuliError with the kernel's reason */
export async function placeMount(options: PlaceMountOptions): Promise<void> {
  const { binding, spec, target, signal } = options;
  const plan = planMount(spec);
  signal?.throwIfAborted();
  try {
    const work = { binding, plan, target, signal };
    if (plan.isBind) await mountBind(work);
    else if (plan.type === "overlay") await mountOverlay(work);
    else await mountFileSystem(work);
    await setPropagation(work);
  } catch (thrown) {
    if (signal?.aborted === true && thrown === signal.reason) throw thrown;
    throw mountError(thrown, { type: plan.type, source: plan.source, target });
  }
}

async function setPropagation({ binding, plan, target }: MountWork): Promise<void> {
  try {
    for (const bits of plan.propagation) await binding.mount("none", target, "", bits, "");
  } catch (thrown) {
    await detachQuietly(binding, target);
    throw thrown;
  }
}

async function mountBind(work: MountWork): Promise<void> {
  const { binding, plan, target, signal } = work;
  await using files = new OpenFiles();
  let mountFd: number;
  try {
    mountFd = files.keep(await binding.mounts.clone(plan.source, plan.isRecursive));
    if (plan.attributes !== 0) await binding.mounts.setAttributes(mountFd, plan.attributes, undefined, false);
  } catch (thrown) {
    if (!isMissingCall(thrown)) throw thrown;
    if (plan.idMapping !== undefined) throw idMappingUnsupported(plan.source, thrown);
    await bindByOldCall(work);
    return;
  }
  await applyMapping(work, mountFd, files);
  signal?.throwIfAborted();
  await binding.mounts.attach(mountFd, target);
}

/** Two calls, since mount(2) takes no flags together with a bind. */
async function bindByOldCall({ binding, plan, target }: MountWork): Promise<void> {
  await binding.mount(plan.source, target, "", plan.flags & (MS_BIND | MS_REC), "");
  if (plan.attributes === 0) return;
  try {
    await binding.mount("none", target, "", (plan.flags & ~MS_REC) | MS_REMOUNT, "");
  } catch (thrown) {
    await detachQuietly(binding, target);
    throw thrown;
  }
}

async function applyMapping(work: MountWork, mountFd: number, files: OpenFiles): Promise<void> {
  const { binding, plan } = work;
  if (plan.idMapping === undefined) return;
  const userNamespaceFd = await openUserNamespace(binding, plan.idMapping, files);
  await mapIds(binding, { mountFd, userNamespaceFd, isRecursive: plan.isRecursive, source: plan.source });
}

async function mountFileSystem(work: MountWork): Promise<void> {
  const { binding, plan } = work;
  await using files = new OpenFiles();
  if (!plan.isLoop) {
    await mountFrom(work, plan.source, files);
    return;
  }
  const loop = await binding.mounts.attachLoop(plan.source, plan.isReadOnly || plan.type === "erofs");
  files.keep(loop.fd);
  await mountFrom(work, loop.path, files);
}

/** Settings whose values are paths. */
const pathKeys: ReadonlySet<string> = new Set(["source", "device"]);

async function mountFrom(work: MountWork, source: string, files: OpenFiles): Promise<void> {
  const { binding, plan, target, signal } = work;
  const all: [string, string | number | undefined][] = [];
  for (const [key, text] of [["source", source] as const, ...plan.settings]) {
    const isPath = pathKeys.has(key) && text !== undefined;
    all.push([key, isPath ? await pathValue(binding, { path: text, takesDescriptors: false, files }) : text]);
  }
  for (const flag of plan.fileSystemFlags) all.push([flag, undefined]);
  let mountFd: number;
  try {
    mountFd = files.keep(await binding.mounts.make(plan.type, all, plan.attributes));
  } catch (thrown) {
    const isOld = isMissingCall(thrown) && (thrown as NodeJS.ErrnoException).syscall === "fsopen";
    if (!isOld) throw thrown;
    if (plan.idMapping !== undefined) throw idMappingUnsupported(plan.source, thrown);
    await mountByOldCall(work, source);
    return;
  }
  await applyMapping(work, mountFd, files);
  signal?.throwIfAborted();
  await binding.mounts.attach(mountFd, target);
}

async function mountByOldCall({ binding, plan, target }: MountWork, source: string): Promise<void> {
  const data = plan.settings.map(([key, value]) => (value === undefined ? key : `${key}=${value}`)).join(",");
  await binding.mount(source, target, plan.type, plan.flags, data);
}
