import { readFile } from "node:fs/promises";

export interface MountEntry {
  /** Major and minor number of its superblock: "0:57". */
  readonly device: string;
  readonly target: string;
  readonly type: string;
  readonly source: string;
}

/** Reads /proc/self/mountinfo text (proc(5)). Of mounts on the same place the last is on top. */
export function parseMountInfo(text: string): MountEntry[] {
  const entries: MountEntry[] = [];
  for (const line of text.split("\n")) {
    const fields = line.split(" ");
    const dash = fields.indexOf("-", 6);
    if (dash < 0) continue;
    entries.push({
      device: fields[2] ?? "",
      target: unescapeField(fields[4] ?? ""),
      type: fields[dash + 1] ?? "",
      source: unescapeField(fields[dash + 2] ?? ""),
    });
  }
  return entries;
}

/** The mounts below a folder, without touching any of them. */
export async function mountsBelow(folder: string): Promise<MountEntry[]> {
  const entries = parseMountInfo(await readFile("/proc/self/mountinfo", "utf8"));
  return entries.filter((entry) => entry.target.startsWith(`${folder}/`));
}

/** The superblock that is on top at a place. */
export async function deviceAt(target: string): Promise<string | undefined> {
  const entries = parseMountInfo(await readFile("/proc/self/mountinfo", "utf8"));
  return entries.findLast((entry) => entry.target === target)?.device;
}

/** Spaces, tabs, line breaks and backslashes are written as \ooo. */
function unescapeField(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_match, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}
