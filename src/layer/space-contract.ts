import type { Digest } from "../bytes/index.js";
import type { TransferPriority } from "./events.js";
import type { UnitRange } from "./layer-record.js";

/** Most bytes of the disk that all layers may hold: a number, or hundredths of the file system that holds them. */
export type SpaceLimit = { readonly bytes: number } | { readonly percent: number };

export interface SpaceBudgetFacts {
  /** undefined: no limit; then only a full disk makes layers smaller. */
  readonly limit: SpaceLimit | undefined;
  /** Parts of the limit, 0 to 1: above the high one bytes are given up until the low one is reached. */
  readonly highWater: number;
  readonly lowWater: number;
  /** Layers that are given up last: digests, references, or beginnings of references that end in "*". */
  readonly pinned: readonly string[];
}

/** Of the disk, in bytes. */
export interface SpaceFigures {
  /** 0: no limit. */
  readonly limitBytes: number;
  readonly highBytes: number;
  readonly lowBytes: number;
  /** Blocks of all files of all layers. */
  readonly usedBytes: number;
  /** Asked for by requests that run. */
  readonly reservedBytes: number;
  /** Since the start of the process. */
  readonly evictedBytes: number;
  readonly evictionRounds: number;
  /** Requests that were let beyond the limit, since nothing could be given up. */
  readonly overdrafts: number;
}

/** What a layer asks before bytes of it are written. */
export interface Space {
  /** Bytes that a request of this kind may store now. */
  roomFor(priority: TransferPriority): number;
  /** Whether a request may start that stores so many bytes and can't be smaller; if not now, `wake` is called later. */
  admits(bytes: number, priority: TransferPriority): boolean;
  /** So many bytes more are on their way, or fewer. */
  reserve(delta: number): void;
  /** The disk is full: gives up at least so many bytes of any layer. False: nothing could be. */
  makeRoom(bytes: number): Promise<boolean>;
}

/** Units that are given up together. */
export interface SpaceGroup extends UnitRange {
  /** ms of a monotonic clock; 0: not used by this process. */
  readonly lastUse: number;
  /** Decoded bytes that are here. */
  readonly bytes: number;
}

/** A layer as the budget sees it. */
export interface SpaceUser {
  readonly number: number;
  readonly digest: Digest;
  readonly reference: string;
  /** Decoded bytes of all units. */
  readonly dataBytes: number;
  /** Missing units of it cost much more than their bytes. */
  readonly isCostly: boolean;
  /** Bytes of the disk, now. */
  usedBytes(): number;
  /** Looks at its files other than the data. Never throws. */
  measure(): Promise<void>;
  /** What could be given up now, in the order of the data. */
  groups(): readonly SpaceGroup[];
  /** Gives up those of these units that nobody is about to read; returns the decoded bytes. Never throws. */
  evict(ranges: readonly UnitRange[]): Promise<number>;
  /** Gives back, once, the disk space of what an earlier process gave up, or wrote and did not note. Never throws. */
  sweep(): Promise<void>;
}
