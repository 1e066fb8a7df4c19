import type { NativeContainers } from "./native-containers.js";
import type { NativeLayerFiles } from "./native-layer-files.js";
import type { NativeMounts } from "./native-mounts.js";
import type { NativeProjectQuotas } from "./native-project-quotas.js";
import type { NativeStreamIndexer, StreamIndexerOptions } from "./native-stream-indexer.js";

/**
 * The contract of the native addon (native/binding/): bytes and numbers in, numbers out. Only src/fuse imports it.
 * Sizes and offsets are JavaScript numbers up to 2^53-1 and are checked on the way in. A failed system call throws an
 * Error with `code` (errno name, e.g. "EBUSY") and `syscall`.
 */

/** Kinds of what a session serves. Flat: `/<layer number>` is that layer's data file. Tree: the root is one layer. */
export const sessionKinds = { flat: 0, tree: 1 } as const;

/** What became of a unit in `ingest` and `verify`; noSpace: an ioError of a full disk or quota. For `verify`: intact is alreadyPresent, missing or cut short is truncated. */
export const unitOutcomes = {
  stored: 0,
  alreadyPresent: 1,
  corrupt: 2,
  truncated: 3,
  ioError: 4,
  noSpace: 5,
} as const;

/** Bytes of the data file that one number of `lastUses` stands for: the units that begin in them. */
export const useGroupBytes = 2 ** 20;

/** Why the plane failed a read by itself: `waitingReadsMax` was reached, or it had no memory for it. */
export const refusalReasons = { tooManyWaiting: 0, internal: 1 } as const;

export interface NativeLayerOptions {
  /** 1 to 2^32-1; never used again for another layer while the plane lives. */
  readonly number: number;
  /** Open read-write; the plane duplicates it. */
  readonly dataFd: number;
  /** The unit table (src/units): copied and checked again. */
  readonly units: Uint8Array;
  /**
   * One bit a unit, least significant first: units on disk already. Each is verified before its first use. One whose
   * digest is of the blob counts as missing where `sums` does not know it.
   */
  readonly present: Uint8Array;
  /** What `sums()` gave in an earlier process; none is known unless given. */
  readonly sums?: Uint8Array;
  /**
   * 32 KiB for each deflateSpan, in the order of the units: copied, or in a file, whose descriptor is duplicated, and
   * which is read when a span is decoded. A window that has not the CRC in the unit table makes its span an `ioError`.
   */
  readonly windows?: Uint8Array | { readonly fd: number; readonly offset: number; readonly count: number };
  /** The EROFS meta image, for a tree session; open read-only, mapped by the plane. -1: none. */
  readonly metaFd: number;
}

/** A read waits for these units. Given to `onMiss` once for each waiting read. */
export interface Miss {
  readonly layer: number;
  readonly firstUnit: number;
  readonly lastUnit: number;
  /** Names the read in `onInterrupt` and `failReads`, on the whole plane; never used twice. */
  readonly read: bigint;
}

/** Reads of a layer that got EIO without a miss, or after one that JavaScript may not know. */
export interface Refusal {
  readonly layer: number;
  readonly reads: number;
  /** One of `refusalReasons`. */
  readonly reason: number;
}

export interface PlaneOptions {
  /** Threads that answer /dev/fuse. */
  readonly fuseThreads: number;
  /** Threads that decode and verify. */
  readonly workerThreads: number;
  /** Reads that may wait for missing units at once; a read beyond it gets EIO, see `onRefused`. */
  readonly waitingReadsMax: number;
  /** Called on the JS thread with all misses since the last call. */
  readonly onMiss: (misses: readonly Miss[]) => void;
  /** Reads whose process was interrupted or killed: they don't wait any more. */
  readonly onInterrupt: (reads: readonly bigint[]) => void;
  /** Units that were stored but failed their check when read again (bad disk): they are missing once more. */
  readonly onDamaged: (damaged: readonly { layer: number; unit: number }[]) => void;
  /** Reads that the plane failed by itself since the last call, one entry for each layer and reason. */
  readonly onRefused: (refused: readonly Refusal[]) => void;
}

export interface IngestOptions {
  readonly layer: number;
  readonly firstUnit: number;
  readonly lastUnit: number;
  /** Bytes of the blob that begin at `blobOffset` and cover every stream of the units named. Not changed meanwhile. */
  readonly bytes: Uint8Array;
  readonly blobOffset: number;
}

export interface SessionOptions {
  readonly kind: number;
  /** The layer of a tree session; 0 in a flat one. */
  readonly layer: number;
  /** An open /dev/fuse whose mount is made by the caller right after. */
  readonly fuseFd: number;
  /** The fd comes from an earlier process and INIT is long past: go on, and ask the kernel to resend. */
  readonly adopted: boolean;
}

/** Counters since the start, in messages or bytes. */
export interface PlaneStats {
  readonly lookups: number;
  readonly getattrs: number;
  readonly opens: number;
  readonly reads: number;
  readonly readdirs: number;
  readonly xattrs: number;
  readonly others: number;
  readonly bytesServed: number;
  readonly misses: number;
  readonly waitingReads: number;
  readonly failedReads: number;
  readonly unitsStored: number;
  readonly unitsCorrupt: number;
  readonly unitsDamaged: number;
}

/** The data plane: FUSE threads, unit jobs, layers. One a process. */
export interface NativePlane {
  addLayer(options: NativeLayerOptions): void;
  /** Waiting reads fail with EIO; the layer's files are closed when its last job is done. */
  removeLayer(layer: number): void;
  openSession(options: SessionOptions): number;
  /** Ends the threads' interest in it and closes the fd; the mount should be detached before. */
  closeSession(session: number): void;
  /** Decodes, verifies, writes, sets the bits and answers the reads that waited. One outcome a unit, in order. */
  ingest(options: IngestOptions): Promise<Uint8Array>;
  /**
   * Answers the reads of these misses with -errno; one that a thread has in hand only if it would wait again. Names of
   * reads that were answered are passed over.
   */
  failReads(reads: readonly bigint[], errno: number): void;
  /** One bit a unit: present, verified or not. */
  presence(layer: number): Uint8Array;
  /**
   * 32 bytes a unit: the SHA-256 of what was decoded, for units whose digest is of the blob (`UnitTable.needsSums`); zeros
   * where unknown. Asked for after `sync()`, it knows each unit that `sync()` returned: write down both, sums first.
   */
  sums(layer: number): Uint8Array;
  presentCount(layer: number): number;
  /** Syncs the data file and returns the bits that were set before the sync began: what may be written down as durable. */
  sync(layer: number): Promise<Uint8Array>;
  /**
   * Makes sound units missing, at once, and without waiting: one byte a unit, 1 where it was done; the others were missing
   * or are being changed. Readers wait for them as for others; the bytes stay on disk until `punch()`.
   */
  evict(layer: number, firstUnit: number, lastUnit: number): Uint8Array;
  /**
   * Gives back the disk space of those units that are missing; their bits must not be set on disk any more. One outcome a
   * unit: stored (done), alreadyPresent (it is here, or being changed), ioError.
   */
  punch(layer: number, firstUnit: number, lastUnit: number): Promise<Uint8Array>;
  /** When units were last read or stored, for each `useGroupBytes` of the data file: ms of a monotonic clock, 0: never. */
  lastUses(layer: number): Float64Array;
  /** Bytes of the disk that the data file holds, with those that are still to be written. */
  bytesOnDisk(layer: number): number;
  /**
   * Whether anybody else has the data file open, the kernel included, for a mount that lies on it or did so and is still
   * used below another: then a hole would show zeros there.
   */
  isDataShared(layer: number): boolean;
  /** At most so many jobs decode at once from now on; those that run go on. */
  limitWorkers(workers: number): void;
  /** Checks units against their digests from disk; a damaged one becomes missing. Returns one outcome a unit. */
  verify(layer: number, firstUnit: number, lastUnit: number): Promise<Uint8Array>;
  /**
   * Notes from now on which units of the layer reads touch first, `max` (at most 2^20) between two takes; further ones
   * are lost. Called again, every unit counts as untouched again, and what was not taken yet stays.
   */
  startTouches(layer: number, max: number): void;
  /**
   * What was noted since the last time: three numbers a touch, which are its unit, the time of the read (nanoseconds of
   * `process.hrtime`), and how long it waited for the unit (0: the bytes were here). A read is noted when it is over.
   */
  takeTouches(layer: number): BigUint64Array;
  /** The same of reads that wait now; their touches are noted later all the same. A unit may come several times. */
  waitingTouches(layer: number): BigUint64Array;
  /** Notes nothing any more, and forgets what was not taken. */
  stopTouches(layer: number): void;
  stats(): PlaneStats;
  /** Answers no request any more: it and the reads that wait are left to who adopts the descriptors. Layers go on. */
  park(): void;
  /** Stops all threads; waiting reads get EIO, unless they were parked. */
  close(): void;
}

/** Bytes on disk and inodes. */
export interface NativeUsage {
  readonly size: number;
  readonly inodes: number;
}

/** A call that looks whether it was cancelled between two files: then `done` fails with ECANCELED. */
export interface CancellableCall<Result> {
  readonly done: Promise<Result>;
  cancel(): void;
}

/** Work on whole trees of files, off the JS thread. Names are bytes; no link is followed and no mount entered (EXDEV). */
export interface NativeTrees {
  /** What a tree holds, as du counts: each inode once, the root too. */
  usage(root: string): CancellableCall<NativeUsage>;
  /** What `upper` holds that `lower` does not have, or has otherwise, as containerd counts a difference. */
  difference(lower: string, upper: string): CancellableCall<NativeUsage>;
  /** Copies a tree to a new folder with all that it has; shares extents where the file system can. Not synced. */
  copy(source: string, target: string): CancellableCall<void>;
  /** Deletes a folder and all below it; nothing there is fine. */
  remove(root: string): Promise<void>;
}

/** Subvolumes of btrfs by their paths, off the JS thread; needs Linux 5.7 and CAP_SYS_ADMIN. EINVAL for what is none. */
export interface NativeBtrfs {
  /** What `mount -o subvolid=` takes. */
  subvolumeId(path: string): Promise<number>;
  /** An empty one, mode 0755. Not durable before it and the folder that holds it are synced. */
  createSubvolume(path: string): Promise<void>;
  /** Durable, with what was written to the source and is in memory only. */
  snapshotSubvolume(source: string, target: string, isReadOnly: boolean): Promise<void>;
  setSubvolumeReadOnly(path: string, isReadOnly: boolean): Promise<void>;
  /** With all that were made inside it; ENOENT for nothing. */
  deleteSubvolume(path: string): Promise<void>;
  /** What a subvolume holds that no other one does, by the quota groups; undefined where they are off or don't hold. */
  accountedUsage(path: string): Promise<NativeUsage | undefined>;
}

/** One change of a file system. Modes are exact, whatever the umask is. */
export type FileStep =
  | { readonly kind: "makeFolder"; readonly path: string; readonly mode: number }
  /** Of a symbolic link itself. */
  | { readonly kind: "setOwner"; readonly path: string; readonly uid: number; readonly gid: number }
  /** Makes the file or replaces what it holds. */
  | { readonly kind: "writeFile"; readonly path: string; readonly mode: number; readonly bytes: Uint8Array }
  | { readonly kind: "rename"; readonly path: string; readonly to: string }
  /** Nothing there is fine. */
  | { readonly kind: "unlink" | "removeFolder"; readonly path: string }
  /** fsync of a file or folder; syncfs of the file system that holds it. */
  | { readonly kind: "sync" | "syncFileSystem"; readonly path: string };

export interface NativeBinding {
  readonly btrfs: NativeBtrfs;
  readonly trees: NativeTrees;
  Plane: new (options: PlaneOptions) => NativePlane;
  StreamIndexer: new (options: StreamIndexerOptions) => NativeStreamIndexer;
  /** mount(2); flags are the MS_* numbers. Runs off the JS thread. */
  mount(source: string, target: string, type: string, flags: number, data: string): Promise<void>;
  /** The new mount API: fsopen, fsconfig for each [key, value] (value undefined: a flag), fsmount, move_mount. */
  fsmount(
    type: string,
    options: readonly (readonly [string, string | undefined])[],
    attributes: number,
    target: string,
  ): Promise<void>;
  readonly mounts: NativeMounts;
  readonly containers: NativeContainers;
  readonly layerFiles: NativeLayerFiles;
  readonly projectQuotas: NativeProjectQuotas;
  /** umount2(2); flags are MNT_* numbers (MNT_DETACH is 2). Runs off the JS thread. */
  umount(target: string, flags: number): Promise<void>;
  /** Opens /dev/fuse, close-on-exec and non-blocking; the caller owns the fd. */
  openFuse(): number;
  /** openat2(2). `resolve` is RESOLVE_* bits. Returns a close-on-exec fd. */
  openat2(dirFd: number, path: string, flags: number, mode: number, resolve: number): number;
  syncfs(fd: number): Promise<void>;
  /**
   * Takes the steps in order, in one go off the JS thread, where each by itself would be a switch of threads or several.
   * Ends at the first that fails; those before it stay.
   */
  fileSteps(steps: readonly FileStep[]): Promise<void>;
  /** Sends data with file descriptors over a connected Unix stream socket (SCM_RIGHTS). */
  sendFds(socketFd: number, data: Uint8Array, fds: readonly number[]): void;
  /** Receives up to `dataMax` bytes and `fdsMax` descriptors, which are close-on-exec. Blocks; runs off the JS thread. */
  receiveFds(socketFd: number, dataMax: number, fdsMax: number): Promise<{ data: Buffer; fds: number[] }>;
  /**
   * One datagram to a Unix socket, with descriptors where some are given; a path that begins with "@" is in the abstract
   * space. For sd_notify(3).
   */
  sendDatagram(path: string, data: Uint8Array, fds?: readonly number[]): void;
  /**
   * One request to a Unix stream socket and its whole answer up to the end of the stream, off the JS thread. Rejects with
   * EMSGSIZE for more than `fdsMax` descriptors or 1 MiB, with ETIMEDOUT where 5 s pass without a byte.
   */
  exchange(
    path: string,
    data: Uint8Array,
    fds: readonly number[],
    fdsMax: number,
  ): Promise<{ data: Buffer; fds: number[] }>;
  /**
   * Asks the kernel to send again what an earlier process took from an open /dev/fuse and did not answer. False before
   * Linux 6.9, which can't. Throws ENOTCONN where the mount is gone.
   */
  askToResend(fuseFd: number): boolean;
  /** clock_gettime(CLOCK_REALTIME) in nanoseconds. */
  realtimeNanoseconds(): bigint;
  /** Keeps every open file above stderr from the programs that are started from now on. */
  closeOnExec(): void;
  /** mkfifo(3) with exactly this mode; on the JS thread, since to start a program costs a thousand times as much. */
  makeFifo(path: string, mode: number): void;
  /** A connected pair of Unix stream sockets, for tests and for the holder of descriptors. */
  socketPair(): [number, number];
  /**
   * Decodes bytes that are exactly one zstd frame, on a thread of libuv's pool. The bytes must not change meanwhile.
   * Rejects with `code` ERR_ZSTD_TOO_LARGE when more than `maxSize` (at most 256 MiB) come out, ERR_ZSTD_TRUNCATED,
   * ERR_ZSTD_CORRUPT.
   */
  decompressFrame(bytes: Uint8Array, maxSize: number): Promise<Buffer>;
  /**
   * Makes one zstd frame of at most 256 MiB, with content size and checksum, on a thread of libuv's pool. Level 1 to 19.
   * The bytes must not change meanwhile; the same bytes and level make the same frame.
   */
  compressFrame(bytes: Uint8Array, level: number): Promise<Buffer>;
  /**
   * Compresses bytes (at most 256 MiB) to one gzip member without name and time (level 1 to 9), or one zstd frame with
   * content size and checksum (level 1 to 19), on a thread of libuv's pool. The bytes must not change meanwhile; the same
   * bytes and options make the same member with the same libraries.
   */
  compressMember(
    bytes: Uint8Array,
    options: { readonly codec: "gzip" | "zstd"; readonly level: number },
  ): Promise<Buffer>;
}
