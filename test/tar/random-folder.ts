import { execFileSync } from "node:child_process";
import {
  chmodSync,
  closeSync,
  ftruncateSync,
  lchownSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  openSync,
  symlinkSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { makeRandom } from "../erofs/trees.js";

const IDS = [0, 1, 1000, 65_534, 2_097_151, 2_097_152, 3_000_000_000];
const SECONDS = [0, 1, 1_600_000_000, 1_600_000_000.123_456, 2 ** 31 + 1, 2 ** 33 + 5];

export interface RandomFolderOptions {
  readonly folder: string;
  readonly seed: number;
  readonly count: number;
  /** Names and owners that the old formats have room for. */
  readonly isPlain?: boolean;
}

/** Fills a folder with files of all types, the same for the same seed. */
export function fillFolder(options: RandomFolderOptions): void {
  const random = makeRandom(options.seed);
  const pick = <Item>(items: readonly Item[]): Item => items[random(items.length)]!;
  const folders = [options.folder];
  const files: string[] = [];
  const xattrs: string[] = [];
  const made: string[] = [];
  for (let index = 0; index < options.count; index += 1) {
    const long = options.isPlain || random(5) > 0 ? "" : "ü".repeat(random(80));
    const path = join(pick(folders), `n${index}${long}`);
    if (path.length > (options.isPlain ? 150 : 2000)) continue;
    const kind = random(10);
    if (kind < 3) {
      mkdirSync(path);
      folders.push(path);
    } else if (kind < 6) {
      writeFile(path, { random, isSparse: random(3) === 0 });
      files.push(path);
      if (random(3) === 0) xattrs.push(path);
    } else if (kind === 6) {
      symlinkSync(pick(["../x", "/etc/passwd", "t".repeat(options.isPlain ? 50 : 1 + random(300))]), path);
    } else if (kind === 7) {
      execFileSync("mknod", [path, ...pick([["p"], ["c", "1", "3"], ["b", "259", "300000"]])]);
    } else if (files.length > 0) {
      linkSync(pick(files), path);
      continue;
    } else {
      continue;
    }
    made.push(path);
    if (random(2) === 0)
      lchownSync(path, pick(options.isPlain ? IDS.slice(0, 5) : IDS), pick(IDS.slice(0, 5)));
    if (kind !== 6) chmodSync(path, pick([0o644, 0o755, 0o4755, 0o2750, 0o1777, 0, 0o7777]));
  }
  for (const path of xattrs) {
    execFileSync("setfattr", [
      "-n",
      `user.${pick(["a", "note"])}`,
      "-v",
      `0x${"00ff0a3d".repeat(random(20))}`,
      path,
    ]);
    if (random(2) === 0) execFileSync("setcap", ["cap_net_raw+ep", path]);
  }
  const times = SECONDS.map((time) => (options.isPlain ? Math.min(Math.floor(time), 2 ** 32) : time));
  for (const path of made.reverse()) {
    const time = pick(times);
    lutimesSync(path, time, time);
  }
}

function writeFile(path: string, options: { random: (below: number) => number; isSparse: boolean }): void {
  const { random, isSparse } = options;
  const file = openSync(path, "w");
  try {
    for (let piece = random(6); piece > 0; piece -= 1) {
      const bytes = Buffer.alloc(1 + random(6000), `${random(1000)} `);
      writeSync(file, bytes, 0, bytes.length, isSparse ? random(200) * 4096 : null);
    }
    if (isSparse) ftruncateSync(file, random(1_000_000));
  } finally {
    closeSync(file);
  }
}
