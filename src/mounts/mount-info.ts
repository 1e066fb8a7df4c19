import { readFile } from "node:fs/promises";

/** A line of /proc/<pid>/mountinfo (proc(5)). */
export interface MountInfo {
  /** "major:minor" of the file system. */
  readonly device: string;
  /** What of the file system is mounted. */
  readonly root: string;
  readonly target: string;
  /** Of the mount, e.g. `ro`, `idmapped`. */
  readonly options: readonly string[];
  readonly type: string;
  readonly source: string;
}

/** In the kernel's order: of mounts on the same place the last is on top. */
export function parseMountInfo(text: string): MountInfo[] {
  const entries: MountInfo[] = [];
  for (const line of text.split("\n")) {
    const fields = line.split(" ");
    const dash = fields.indexOf("-", 6);
    if (dash < 0) continue;
    const [, , device, root, target, options] = fields;
    entries.push({
      device: device ?? "",
      root: unescapeField(root ?? ""),
      target: unescapeField(target ?? ""),
      options: (options ?? "").split(","),
      type: fields[dash + 1] ?? "",
      source: unescapeField(fields[dash + 2] ?? ""),
    });
  }
  return entries;
}

/** The mounts that this process sees, without touching any of them. */
export async function readMountInfo(): Promise<MountInfo[]> {
  return parseMountInfo(await readFile("/proc/self/mountinfo", "utf8"));
}

/** Spaces, tabs, line breaks and backslashes are written as \ooo. */
function unescapeField(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_match, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}

/** What a real path shows: a file system and a place in it. */
export interface MountedPlace {
  readonly device: string;
  readonly root: string;
}

/** Found without touching the path, whose server may not answer. undefined: nothing is mounted above it. */
export function placeInMounts(mounts: readonly MountInfo[], path: string): MountedPlace | undefined {
  let best: MountInfo | undefined;
  for (const entry of mounts) {
    const isAbove = path === entry.target || path.startsWith(entry.target === "/" ? "/" : `${entry.target}/`);
    if (isAbove && entry.target.length >= (best?.target.length ?? 0)) best = entry;
  }
  if (best === undefined) return undefined;
  const rest = best.target === "/" ? path : path.slice(best.target.length);
  const root = `${best.root === "/" ? "" : best.root}${rest}`;
  return { device: best.device, root: root === "" ? "/" : root.replace(/(.)\/$/, "$1") };
}
