import {
  chmod,
  chown,
  mkdir,
  readFile,
  readlink,
  rename,
  rm,
  rmdir,
  symlink,
  writeFile,
} from "node:fs/promises";
import { dirname, join } from "node:path";
import { alreadyExists } from "../errors/index.js";
import { type AnyValue, requireIdentifier } from "../metadata/index.js";
import { type MountBinding, readMountInfo, unmountAll } from "../mounts/index.js";
import type { TaskName } from "./contract.js";

const ROOM = "io.containerd.runtime.v2.task";
const PRIVATE_MODE = 0o700;
/** With the group of a container's root, who has to pass through. */
const GROUP_MODE = 0o710;
const PASSABLE_MODE = 0o711;

export interface BundleFolders {
  /** What a reboot may empty. */
  readonly state: string;
  /** What stays. */
  readonly root: string;
}

/** A folder in the form that shims expect (core/runtime/v2/bundle.go). */
export interface Bundle extends TaskName {
  readonly path: string;
  readonly work: string;
}

export function bundlesFolder(folder: string): string {
  return join(folder, ROOM);
}

export function bundleOf(folders: BundleFolders, { namespace, id }: TaskName): Bundle {
  return {
    namespace,
    id,
    path: join(bundlesFolder(folders.state), namespace, id),
    work: join(bundlesFolder(folders.root), namespace, id),
  };
}

/** Makes the folders and writes the spec as it is. @throws INVALID_ARGUMENT; ALREADY_EXISTS */
export async function createBundle(
  folders: BundleFolders,
  request: TaskName & { readonly spec: AnyValue | undefined },
): Promise<Bundle> {
  const { id, spec } = request;
  requireIdentifier(id, `invalid task id ${id}: `);
  const bundle = bundleOf(folders, request);
  await mkdir(dirname(bundle.path), { recursive: true, mode: PASSABLE_MODE });
  await makeNew(bundle);
  try {
    const group = remappedRootGroup(spec);
    if (group !== undefined) {
      await chown(bundle.path, 0, group);
      await chmod(bundle.path, GROUP_MODE);
    }
    await mkdir(join(bundle.path, "rootfs"), { mode: PASSABLE_MODE });
    // Of a task that ended with the machine.
    await rm(bundle.work, { recursive: true, force: true });
    await mkdir(bundle.work, { recursive: true, mode: PASSABLE_MODE });
    await symlink(bundle.work, join(bundle.path, "work"));
    if (spec !== undefined) await writeFile(join(bundle.path, "config.json"), spec.value, { mode: 0o666 });
    return bundle;
  } catch (thrown) {
    await rm(bundle.path, { recursive: true, force: true });
    await rm(bundle.work, { recursive: true, force: true });
    throw thrown;
  }
}

async function makeNew({ path, id }: Bundle): Promise<void> {
  try {
    await mkdir(path, { mode: PRIVATE_MODE });
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== "EEXIST") throw thrown;
    throw alreadyExists(`bundle of task ${JSON.stringify(id)}`, { subject: id, reason: "bundle-exists" });
  }
}

/**
 * Unmounts what is on the root file system, and takes the bundle away; under a name with a dot first, which a restart
 * takes for a rest. A root that can't be unmounted keeps the bundle: its files are not ours to delete.
 */
export async function deleteBundle(bundle: Bundle, binding: MountBinding): Promise<void> {
  const rootfs = join(bundle.path, "rootfs");
  const mounts = await readMountInfo();
  const targets = new Set(
    mounts.map(({ target }) => target).filter((target) => target === rootfs || isBelow(target, rootfs)),
  );
  for (const target of [...targets].reverse()) await unmountAll({ binding, target });
  await ignoringMissing(rmdir(rootfs));
  const aside = join(dirname(bundle.path), `.${bundle.id}`);
  await rm(aside, { recursive: true, force: true });
  const work = (await readlink(join(bundle.path, "work")).catch(() => undefined)) ?? bundle.work; // A bundle may be half made.
  await ignoringMissing(rename(bundle.path, aside));
  await rm(aside, { recursive: true, force: true });
  await rm(work, { recursive: true, force: true });
}

/** A file's text without the space around it; undefined when it is not there. */
export async function bundleFile(bundle: Bundle, name: string): Promise<string | undefined> {
  try {
    return (await readFile(join(bundle.path, name), "utf8")).trim();
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw thrown;
  }
}

/** Whole or not at all: a restart reads it. */
export async function writeBundleFile(
  bundle: Bundle,
  file: { readonly name: string; readonly text: string | Uint8Array },
): Promise<void> {
  const path = join(bundle.path, file.name);
  await writeFile(`${path}.new`, file.text, { mode: 0o600 });
  await rename(`${path}.new`, path);
}

function isBelow(path: string, folder: string): boolean {
  return path.startsWith(`${folder}/`);
}

async function ignoringMissing(work: Promise<void>): Promise<void> {
  await work.catch((thrown: NodeJS.ErrnoException) => {
    if (thrown.code !== "ENOENT") throw thrown;
  });
}

/** The group on the host of root in the spec's user namespace; undefined without one, or for what is no spec. */
function remappedRootGroup(spec: AnyValue | undefined): number | undefined {
  if (spec === undefined) return undefined;
  try {
    const { linux } = JSON.parse(Buffer.from(spec.value).toString("utf8")) as Spec;
    if (linux?.namespaces?.some(({ type }) => type === "user") !== true) return undefined;
    const root = linux.gidMappings?.find(({ containerID }) => containerID === 0);
    return Number.isSafeInteger(root?.hostID) ? root?.hostID : undefined;
  } catch {
    // The shim tells the client what is wrong with its spec.
    return undefined;
  }
}

interface Spec {
  readonly linux?: {
    readonly namespaces?: readonly { readonly type?: string }[];
    readonly gidMappings?: readonly { readonly containerID?: number; readonly hostID?: number }[];
  };
}
