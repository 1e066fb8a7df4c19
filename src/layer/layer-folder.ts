import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, lstat, mkdir, open, readdir, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Digest } from "../bytes/index.js";
import { dataLoss, type LazuliError } from "../errors/index.js";
import { readBoundedFile, syncFolder, writeSynced } from "../files/index.js";
import { log } from "../observe/index.js";
import { UnitTable, WINDOW_SIZE } from "../units/index.js";
import { BitSet } from "./bit-set.js";
import { decodeBitmap, encodeBitmap } from "./bitmap-file.js";
import type { LayerUsage } from "./contract.js";
import { decodeRecord, encodeRecord, type LayerRecord } from "./layer-record.js";
import { RECORD_BYTES_MAX } from "./limits.js";
import { GONE_PREFIX, type LayerPaths, layerPaths, layersFolder, NEW_PREFIX, pathsIn } from "./paths.js";
import { decodeSums, isSumKnown } from "./sums-file.js";

/** Data files end on a block of EROFS, so that the last block of a device is never short. */
export const DATA_FILE_BLOCK = 4096;
/** Of a unit table, a bitmap and sums: a longer one is none of ours, and damaged. */
const TABLE_BYTES_MAX = 1024 * 1024 * 1024;
/** A FIFO is not waited for, and a link leads out of the folder. */
const CAREFULLY = constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** A layer's files, read and checked. The caller closes those that are open. */
export interface LayerFiles {
  readonly record: LayerRecord;
  readonly paths: LayerPaths;
  readonly units: UnitTable;
  readonly present: BitSet;
  /** See sums-file.ts; undefined where no unit needs one. */
  readonly sums: Buffer | undefined;
  readonly data: FileHandle;
  /** undefined where no unit has a window. */
  readonly windows: FileHandle | undefined;
}

/** The last 32 bytes of a unit table: its own checksum, which names it in the bitmap. */
export function tableSha256(units: UnitTable): Uint8Array {
  return units.buffer.subarray(units.buffer.length - 32);
}

/** What stands in a layer's files when it is made. */
export interface NewLayerFiles {
  readonly record: LayerRecord;
  readonly units: UnitTable;
  readonly meta: Uint8Array;
  /** Nothing where the layer's units have some that are had later: the file has room for them. */
  readonly windows: Uint8Array;
  /** See paths.ts. */
  readonly table?: Uint8Array | undefined;
  /**
   * What the data file holds: nothing, then it is made here; all units, perhaps not on disk yet, so that the bitmap has
   * none of them; or all units, synced.
   */
  readonly data: "nothing" | "written" | "synced";
}

/**
 * Makes a layer's folder, whole and durable when it returns. `make` is given the paths in a temporary one. A damaged one
 * of the same name makes room first.
 */
export async function createLayerFolder(options: {
  readonly root: string;
  readonly digest: Digest;
  readonly make: (paths: LayerPaths) => Promise<NewLayerFiles>;
}): Promise<void> {
  const { root, digest, make } = options;
  const parent = layersFolder(root);
  const temporary = join(parent, `${NEW_PREFIX}${randomBytes(8).toString("hex")}`);
  await mkdir(temporary, { mode: 0o700 });
  try {
    const paths = pathsIn(temporary);
    await writeLayerFiles(paths, await make(paths));
    await syncFolder(temporary);
    await deleteLayerFolder(root, digest);
    await rename(temporary, layerPaths(root, digest).folder);
    await syncFolder(parent);
  } catch (thrown) {
    await rm(temporary, { recursive: true, force: true });
    throw thrown;
  }
}

async function writeLayerFiles(paths: LayerPaths, files: NewLayerFiles): Promise<void> {
  const { record, units, meta, windows, table, data } = files;
  const present = new BitSet(units.count);
  if (data === "synced") for (let unit = 0; unit < units.count; unit += 1) present.set(unit, true);
  const bitmap = encodeBitmap(present.bytes, { units: units.count, tableSha256: tableSha256(units) });
  // Side by side, so that the disk can join the syncs.
  const written = await Promise.allSettled([
    writeSynced(paths.units, units.buffer),
    writeSynced(paths.meta, meta),
    writeSynced(paths.bitmap, bitmap),
    writeWindows(paths.windows, windows, units),
    table === undefined ? undefined : writeSynced(paths.table, table),
    data !== "nothing" ? undefined : makeDataFile(paths.data, units.dataSize),
    writeSynced(paths.record, encodeRecord(record)),
  ]);
  for (const outcome of written) if (outcome.status === "rejected") throw outcome.reason;
}

async function writeWindows(path: string, windows: Uint8Array, units: UnitTable): Promise<void> {
  if (units.windowCount === 0) return;
  if (windows.length > 0) await writeSynced(path, windows);
  else await makeDataFile(path, units.windowCount * WINDOW_SIZE);
}

async function makeDataFile(path: string, sizeBytes: number): Promise<void> {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | CAREFULLY;
  const file = await open(path, flags, 0o600);
  try {
    await file.truncate(Math.ceil(sizeBytes / DATA_FILE_BLOCK) * DATA_FILE_BLOCK);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Reads what is on disk of a layer; no network. @throws DATA_LOSS, NOT_FOUND (as the system's error) */
export async function openLayerFolder(folder: string): Promise<LayerFiles> {
  const paths = pathsIn(folder);
  const record = decodeRecord(await readBytes(paths.record, RECORD_BYTES_MAX));
  const units = new UnitTable(await readBytes(paths.units, TABLE_BYTES_MAX));
  if (units.blobSize !== record.blobSize) {
    throw dataLoss(
      `Cannot use layer ${record.digest}: its unit table is for a blob of ${units.blobSize} bytes`,
      {
        subject: record.digest,
        reason: "layer-record-damaged",
      },
    );
  }
  await checkMetaKind(paths.meta);
  const present = await readPresent(paths, units);
  const sums = await readSums(paths, units, present);
  const data = await openDataFile(paths.data, units.dataSize, present);
  try {
    return { record, paths, units, present, sums, data, windows: await openWindows(paths, units) };
  } catch (thrown) {
    await data.close();
    throw thrown;
  }
}

async function readBytes(path: string, bytesMax: number): Promise<Buffer> {
  return (await readBoundedFile(path, { bytesMax, what: "a layer's file", reason: "layer-record-damaged" }))
    .bytes;
}

/** @throws DATA_LOSS where it is no file; what the file system throws, also where it is a link */
async function openFile(path: string, access: "r" | "r+"): Promise<FileHandle> {
  const file = await open(path, (access === "r" ? constants.O_RDONLY : constants.O_RDWR) | CAREFULLY);
  try {
    if ((await file.stat()).isFile()) return file;
    throw notAFile(path);
  } catch (thrown) {
    await file.close();
    throw thrown;
  }
}

/** Its bytes are looked at before it is mounted, and so is whether it is there. */
async function checkMetaKind(path: string): Promise<void> {
  const facts = await lstat(path).catch((thrown: NodeJS.ErrnoException) => {
    if (thrown.code === "ENOENT") return undefined;
    throw thrown;
  });
  if (facts?.isFile() === false) throw notAFile(path);
}

function notAFile(path: string): LazuliError {
  return dataLoss(`Cannot use ${path}: want a file, got something else`, {
    subject: path,
    reason: "layer-record-damaged",
  });
}

/** A unit on disk that nothing can be compared with is fetched again. */
async function readSums(paths: LayerPaths, units: UnitTable, present: BitSet): Promise<Buffer | undefined> {
  if (!units.needsSums) return undefined;
  const facts = { units: units.count, tableSha256: tableSha256(units) };
  const sums = await readBytes(paths.sums, TABLE_BYTES_MAX).then(
    (bytes) => decodeSums(bytes, facts),
    () => undefined,
  );
  for (let unit = 0; unit < units.count; unit += 1) {
    if (units.digestOf(unit) === "blob" && (sums === undefined || !isSumKnown(sums, unit))) {
      present.set(unit, false);
    }
  }
  return sums;
}

async function openWindows(paths: LayerPaths, units: UnitTable): Promise<FileHandle | undefined> {
  return units.windowCount === 0 ? undefined : await openFile(paths.windows, "r");
}

async function readPresent(paths: LayerPaths, units: UnitTable): Promise<BitSet> {
  const facts = { units: units.count, tableSha256: tableSha256(units) };
  const bits = await readBytes(paths.bitmap, TABLE_BYTES_MAX).then(
    (bytes) => decodeBitmap(bytes, facts),
    () => undefined,
  );
  if (bits !== undefined) return bits;
  log.warn("A layer's bitmap is damaged: its bytes are fetched again", { path: paths.bitmap });
  return new BitSet(units.count);
}

async function openDataFile(path: string, sizeBytes: number, present: BitSet): Promise<FileHandle> {
  let data: FileHandle;
  try {
    data = await openFile(path, "r+");
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== "ENOENT") throw thrown;
    present.bytes.fill(0);
    await makeDataFile(path, sizeBytes);
    return await openFile(path, "r+");
  }
  // The machine went down before the data file was synced.
  if ((await data.stat()).size < sizeBytes) {
    await data.close();
    present.bytes.fill(0);
    await makeDataFile(path, sizeBytes);
    return await openFile(path, "r+");
  }
  return data;
}

/** Deletes a layer's folder; the name is gone durably before the first file is. Idempotent. */
export async function deleteLayerFolder(root: string, digest: Digest): Promise<void> {
  const { folder } = layerPaths(root, digest);
  const gone = join(dirname(folder), `${GONE_PREFIX}${randomBytes(8).toString("hex")}`);
  try {
    await rename(folder, gone);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === "ENOENT") return;
    throw thrown;
  }
  await syncFolder(dirname(folder));
  await rm(gone, { recursive: true, force: true });
}

/** Folders of layers, after those that an earlier process left half made or half deleted are gone. */
export async function listLayerFolders(root: string): Promise<string[]> {
  const parent = layersFolder(root);
  await mkdir(parent, { recursive: true, mode: 0o700 });
  const folders: string[] = [];
  for (const name of await readdir(parent)) {
    const path = join(parent, name);
    if (name.startsWith(NEW_PREFIX) || name.startsWith(GONE_PREFIX)) {
      await rm(path, { recursive: true, force: true });
    } else {
      folders.push(path);
    }
  }
  return folders;
}

/** What a layer's folder holds on the disk: allocated blocks, not file sizes. */
export async function folderUsage(folder: string): Promise<LayerUsage> {
  const paths = [folder, ...(await readdir(folder)).map((name) => join(folder, name))];
  const stats = await Promise.all(
    paths.map((path) =>
      lstat(path).catch((thrown: NodeJS.ErrnoException) => {
        // A bitmap's temporary file may go between the listing and here.
        if (thrown.code === "ENOENT") return undefined;
        throw thrown;
      }),
    ),
  );
  const found = stats.filter((stat) => stat !== undefined);
  return { bytes: found.reduce((sum, stat) => sum + stat.blocks * 512, 0), inodes: found.length };
}
