import type { BenchSeries } from "../contract.js";

/** What the probe does (native/bench/probe.cc), and how its cost is told. */
export interface Operation {
  /** The probe's word for it. */
  readonly name: string;
  readonly meaning: string;
  /** Time of one operation, or bytes a second. */
  readonly unit: Extract<BenchSeries["unit"], "ms" | "MiB/s">;
}

export const operations: readonly Operation[] = [
  { name: "walk", meaning: "walk, an entry", unit: "ms" },
  { name: "readdir", meaning: "readdir, an entry", unit: "ms" },
  { name: "stat", meaning: "stat", unit: "ms" },
  { name: "open", meaning: "open and close", unit: "ms" },
  { name: "readlink", meaning: "readlink", unit: "ms" },
  { name: "xattr", meaning: "two xattr calls", unit: "ms" },
  { name: "sequential", meaning: "sequential read of large files", unit: "MiB/s" },
  { name: "random", meaning: "random read of 4 KiB", unit: "ms" },
  { name: "mmap", meaning: "page touched through mmap", unit: "ms" },
  { name: "sweep-30", meaning: "read of 30 % of the files", unit: "MiB/s" },
  { name: "sweep-60", meaning: "read of 60 % of the files", unit: "MiB/s" },
  { name: "sweep-100", meaning: "read of all files", unit: "MiB/s" },
];
