import { closeSync, openSync } from "node:fs";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { bytesOfText, digestBytes, sha256 } from "../bytes/index.js";
import { writeErofs } from "../erofs/index.js";
import { failedPrecondition, LazuliError } from "../errors/index.js";
import { type NativeBinding, type NativePlane, sessionKinds } from "../fuse/index.js";
import type { DirectoryNode, FileNode } from "../tree/index.js";
import { encodeUnitTable } from "../units/index.js";
import { mountErofs } from "./erofs-mount.js";
import { statePaths } from "./paths.js";
import type { Sessions, StoredSessions } from "./sessions.js";
import type { LivingMounts } from "./stale-mounts.js";
import { detach, makeMountFolder, removeMountFolder, unmount } from "./unmount.js";

/** How layers are mounted on this node. */
export type Rung =
  | { readonly kind: "erofs"; readonly isDirect: boolean }
  | { readonly kind: "fuse-tree" /** Why not EROFS, for people. */; readonly why: string };

export interface ProbeOptions {
  readonly binding: NativeBinding;
  readonly plane: NativePlane;
  readonly sessions: Sessions;
  /** Existing, private. */
  readonly state: string;
  readonly mount: "auto" | "erofs" | "fuse-tree";
}

/** A layer number that no layer gets. */
const PROBE_NUMBER = 2 ** 32 - 1;
const PROBE_SIZE = 4096;

/**
 * Finds the best rung by trying it: the node's flat mount, and a tiny layer on it. On the EROFS rung the flat mount
 * stays. @throws FAILED_PRECONDITION when the wanted rung, or FUSE itself, does not work here
 */
export async function probeLadder(options: ProbeOptions): Promise<Rung> {
  if (options.mount === "fuse-tree") {
    closeSync(openFuse(options.binding));
    return { kind: "fuse-tree", why: "the config asks for it" };
  }
  const { data } = statePaths(options.state);
  const session = await openFlatMount(options);
  const tried = await tryErofs(options);
  if (tried.rung !== undefined) {
    await keepFlat(options.sessions, { session, target: data, rung: tried.rung });
    return tried.rung;
  }
  await detach(options.binding, data);
  await options.sessions.close(session);
  if (options.mount === "erofs") {
    throw failedPrecondition(`Cannot mount EROFS over FUSE: ${tried.why}`, {
      reason: "erofs-unavailable",
      hint: 'It needs Linux 6.12 with CONFIG_EROFS_FS_BACKED_BY_FILE; set layer.mount to "auto"',
    });
  }
  return { kind: "fuse-tree", why: tried.why };
}

/** Mounts that go on tell how this kernel mounts layers; else it is tried. */
export async function rungOf(
  options: ProbeOptions & { readonly stored: StoredSessions; readonly living: LivingMounts },
): Promise<Rung> {
  const flat = options.stored.flats.at(-1);
  if (options.mount === "fuse-tree" || flat === undefined || !options.living.hasFlat) {
    return await probeLadder(options);
  }
  return { kind: "erofs", isDirect: flat.isDirect };
}

function openFuse(binding: NativeBinding): number {
  try {
    return binding.openFuse();
  } catch (thrown) {
    throw failedPrecondition(`Cannot open /dev/fuse: ${LazuliError.from(thrown).message}`, {
      subject: "/dev/fuse",
      reason: "fuse-unavailable",
      hint: "Load the kernel module fuse and run as root",
      cause: thrown,
    });
  }
}

/** The node's flat mount anew, for layers from now on, where somebody took away the one that was there. */
export async function replaceFlatMount(
  options: Pick<ProbeOptions, "binding" | "sessions" | "state"> & { readonly rung: Rung },
): Promise<void> {
  const session = await openFlatMount(options);
  await keepFlat(options.sessions, { session, target: statePaths(options.state).data, rung: options.rung });
}

async function keepFlat(
  sessions: Sessions,
  options: { readonly session: number; readonly target: string; readonly rung: Rung },
): Promise<void> {
  const { session, target, rung } = options;
  await sessions.keep(session, { name: "flat", target, isDirect: rung.kind === "erofs" && rung.isDirect });
}

async function openFlatMount(options: Pick<ProbeOptions, "binding" | "sessions" | "state">): Promise<number> {
  const { binding, sessions, state } = options;
  const { data } = statePaths(state);
  await makeMountFolder(data);
  const fuseFd = openFuse(binding);
  try {
    return await sessions.mount({ kind: sessionKinds.flat, layer: 0, fuseFd, target: data });
  } catch (thrown) {
    throw failedPrecondition(`Cannot mount FUSE at ${data}: ${LazuliError.from(thrown).message}`, {
      subject: data,
      reason: "fuse-unavailable",
      hint: "Load the kernel module fuse and run as root",
      cause: thrown,
    });
  }
}

async function tryErofs(
  options: ProbeOptions,
): Promise<{ readonly rung: Rung; readonly why?: never } | { readonly rung?: never; readonly why: string }> {
  const { binding, plane, state } = options;
  const { probe, data } = statePaths(state);
  const target = join(probe, "mount");
  const meta = join(probe, "meta.erofs");
  await rm(probe, { recursive: true, force: true });
  await mkdir(target, { recursive: true, mode: 0o700 });
  await addProbeLayer(plane, join(probe, "data"), meta);
  const device = join(data, String(PROBE_NUMBER));
  try {
    let why = "";
    for (const isDirect of [true, false]) {
      try {
        await mountErofs({ binding, meta, device, isDirect, target });
        await unmount(binding, target);
        return { rung: { kind: "erofs", isDirect } };
      } catch (thrown) {
        why = thrown instanceof Error ? thrown.message : String(thrown);
      }
    }
    return { why };
  } finally {
    plane.removeLayer(PROBE_NUMBER);
    await removeMountFolder(target);
    await rm(probe, { recursive: true, force: true });
  }
}

/** A layer with one file of one unit that is on disk. */
async function addProbeLayer(plane: NativePlane, dataPath: string, metaPath: string): Promise<void> {
  const content = Buffer.alloc(PROBE_SIZE, 1);
  const facts = { mode: 0o400, uid: 0, gid: 0, mtime: { seconds: 0n, nanoseconds: 0 }, xattrs: [] };
  const file: FileNode = { kind: "file", ...facts, size: BigInt(PROBE_SIZE), dataOffset: 0n };
  const root: DirectoryNode = {
    kind: "directory",
    ...facts,
    children: new Map([[bytesOfText("probe"), file]]),
  };
  const units = encodeUnitTable(
    [
      {
        dataOffset: 0,
        dataLength: PROBE_SIZE,
        blobOffset: 0,
        blobLength: PROBE_SIZE,
        innerOffset: 0,
        sha256: digestBytes(sha256(content)),
        codec: "raw",
      },
    ],
    { dataSize: PROBE_SIZE, blobSize: PROBE_SIZE, blockSize: PROBE_SIZE },
  );
  await writeFile(dataPath, content, { mode: 0o600 });
  await writeFile(metaPath, writeErofs({ root, blockSize: PROBE_SIZE, dataSize: PROBE_SIZE }), {
    mode: 0o600,
  });
  const dataFd = openSync(dataPath, "r+");
  try {
    plane.addLayer({
      number: PROBE_NUMBER,
      dataFd,
      units: units.buffer,
      present: Uint8Array.of(1),
      metaFd: -1,
    });
  } finally {
    closeSync(dataFd);
  }
}
