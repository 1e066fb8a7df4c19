import { lstat, readdir } from "node:fs/promises";
import { type CheckedStore, checkStore } from "../content/index.js";
import { dataLoss, LazuliError, notFound } from "../errors/index.js";
import type { Metadata } from "../metadata/index.js";
import { checkContent, checkIngestsAndFiles, checkRecords } from "./fsck-content.js";
import type { Finding } from "./fsck-finding.js";
import { type FsckParts, isThere, rootPaths, setAsideIn } from "./fsck-parts.js";
import { openForCheck, openForRebuild, type RebuiltContent, rebuildContent } from "./fsck-rebuild.js";
import { checkReferences } from "./fsck-references.js";
import { checkSnapshots } from "./fsck-snapshots.js";

export interface FsckOptions {
  readonly root: string;
  readonly isRepair: boolean;
  /** Namespace that gets the blobs that it does not have; undefined: rows are not rebuilt. */
  readonly rebuildInto: string | undefined;
  /** Nanoseconds since 1970. */
  readonly now: () => bigint;
  readonly onProgress: (progress: FsckProgress) => void;
}

/** How far the work has come. */
export interface FsckProgress {
  readonly step: "blobs" | "rows";
  readonly count: number;
  /** Bytes that were read; 0 where nothing is. */
  readonly bytes: number;
}

export type FindingFacts = Omit<Finding, "repair">;

export interface FsckReport {
  readonly root: string;
  readonly blobs: number;
  /** Bytes of the blobs. */
  readonly bytes: number;
  /** What is left. */
  readonly findings: readonly FindingFacts[];
  readonly repaired: readonly FindingFacts[];
  /** Where the parts of a database went that could not be opened. */
  readonly setAside: readonly string[];
  readonly rebuilt: RebuiltContent | undefined;
}

/** One repair can bring up a few others: a lost blob takes an image's name with it, that a lease's resource. */
const ROUNDS_MAX = 10;
/** Repairs that share commits. */
const REPAIRS_AT_ONCE = 64;

/**
 * Checks a root that no lazuli runs on, and repairs it where that was asked for.
 * @throws FAILED_PRECONDITION a lazuli runs on it; DATA_LOSS the database can't be opened; NOT_FOUND no such root
 */
export async function fsck(options: FsckOptions): Promise<FsckReport> {
  const { root, isRepair, rebuildInto } = options;
  const opened = await openRoot(options);
  if (opened === undefined) {
    return { root, blobs: 0, bytes: 0, findings: [], repaired: [], setAside: [], rebuilt: undefined };
  }
  const { metadata, setAside } = opened;
  try {
    const store = await readStore(options);
    const parts: FsckParts = { root, metadata, store, now: options.now, setAside: setAsideIn(root) };
    const blobs = [...store.blobs.values()];
    const onRow = (count: number): void => options.onProgress({ step: "rows", count, bytes: 0 });
    const rebuilt =
      rebuildInto === undefined ? undefined : await rebuildContent(parts, { namespace: rebuildInto, onRow });
    const repaired = isRepair ? await repair(parts) : [];
    const findings = (await check(parts)).map(factsOf);
    const bytes = blobs.reduce((sum, { size }) => sum + size, 0);
    return { root, blobs: blobs.length, bytes, findings, repaired, setAside, rebuilt };
  } finally {
    await metadata.close();
  }
}

async function openRoot(
  options: FsckOptions,
): Promise<{ metadata: Metadata; setAside: readonly string[] } | undefined> {
  const { root } = options;
  const paths = rootPaths(root);
  const stat = await lstat(root).catch(() => undefined);
  if (stat?.isDirectory() !== true) {
    throw notFound(`Cannot check ${root}: the folder does not exist`, {
      subject: root,
      reason: "root-missing",
    });
  }
  try {
    if (options.rebuildInto !== undefined) return await openForRebuild(root);
    if (await isThere(paths.metadataFile)) return { metadata: await openForCheck(root), setAside: [] };
  } catch (thrown) {
    throw withWayOut(LazuliError.from(thrown));
  }
  const names = await readdir(paths.content).catch(() => []);
  if (names.length === 0) return undefined;
  const lost = dataLoss(`Cannot check ${root}: there is content, and no database in ${paths.metadata}`, {
    subject: root,
    reason: "metadata-missing",
  });
  throw withWayOut(lost);
}

function withWayOut(error: LazuliError): LazuliError {
  if (error.code !== "DATA_LOSS") return error;
  return dataLoss(error.message, {
    ...(error.subject === undefined ? {} : { subject: error.subject }),
    ...(error.reason === undefined ? {} : { reason: error.reason }),
    hint: "`lazuli fsck --rebuild-content` keeps the old database aside and begins a new one from the blobs",
    cause: error,
  });
}

async function readStore(options: FsckOptions): Promise<CheckedStore> {
  return await checkStore({
    root: rootPaths(options.root).content,
    onBlob: ({ blobs, bytes }) => options.onProgress({ step: "blobs", count: blobs, bytes }),
  });
}

async function check(parts: FsckParts): Promise<Finding[]> {
  return [
    ...(await checkRecords(parts)),
    ...(await checkContent(parts)),
    ...(await checkIngestsAndFiles(parts)),
    ...(await checkReferences(parts)),
    ...(await checkSnapshots(parts)),
  ];
}

async function repair(parts: FsckParts): Promise<FindingFacts[]> {
  const repaired: FindingFacts[] = [];
  for (let round = 0; round < ROUNDS_MAX; round += 1) {
    // What a damaged record hides may look like an orphan: records come first.
    const damaged = await checkRecords(parts);
    const found = damaged.length > 0 ? damaged : await check(parts);
    const fixable = found.filter((finding) => finding.repair !== undefined);
    if (fixable.length === 0) break;
    for (let at = 0; at < fixable.length; at += REPAIRS_AT_ONCE) {
      await Promise.all(
        fixable.slice(at, at + REPAIRS_AT_ONCE).map(async (finding) => await finding.repair?.()),
      );
    }
    repaired.push(...fixable.map(factsOf));
  }
  return repaired;
}

function factsOf({ kind, severity, subject, detail, wayOut }: Finding): FindingFacts {
  return { kind, severity, subject, detail, wayOut };
}
