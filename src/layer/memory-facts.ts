import { readFile } from "node:fs/promises";

/** What a process may still take of the memory, in bytes. */
export interface MemoryFacts {
  /** The strictest limit; of the machine where no group has one. */
  readonly limitBytes: number;
  /** Free, or held by pages of files that the kernel drops when it must. */
  readonly freeBytes: number;
  /** Hundredths of the last ten seconds in which somebody of the group waited for memory; 0 where nobody counts. */
  readonly stallPercent: number;
}

/** A file's text; undefined where it can't be read. */
export type ReadText = (path: string) => Promise<string | undefined>;

const ROOT = "/sys/fs/cgroup";
/** cgroup v1 says that there is no limit with the largest whole pages of 63 bits. */
const UNLIMITED = 2 ** 60;

/** Looks at the memory group of this process (cgroup v2 or v1) and at the machine. */
export async function memoryFacts(read: ReadText = readText): Promise<MemoryFacts> {
  const groups = (await read("/proc/self/cgroup")) ?? "";
  const machine = machineFacts((await read("/proc/meminfo")) ?? "");
  const group = (await unified(groups, read)) ?? (await legacy(groups, read));
  if (group === undefined || group.limitBytes >= machine.limitBytes) {
    return { ...machine, stallPercent: group?.stallPercent ?? 0 };
  }
  return { ...group, freeBytes: Math.min(group.freeBytes, machine.freeBytes) };
}

async function unified(groups: string, read: ReadText): Promise<MemoryFacts | undefined> {
  const path = /^0::(.*)$/m.exec(groups)?.[1];
  if (path === undefined) return undefined;
  const folder = await firstFolder([`${ROOT}${path}`, ROOT], "memory.current", read);
  if (folder === undefined) return undefined;
  const used = numberOf(await read(`${folder}/memory.current`)) ?? 0;
  const limits = [await read(`${folder}/memory.max`), await read(`${folder}/memory.high`)];
  const limitBytes = Math.min(...limits.map((text) => numberOf(text) ?? UNLIMITED));
  const cached = fieldOf(await read(`${folder}/memory.stat`), "inactive_file");
  const stall = /^some avg10=([\d.]+)/m.exec((await read(`${folder}/memory.pressure`)) ?? "")?.[1];
  return facts({ limitBytes, used, cached, stallPercent: Number(stall ?? 0) });
}

async function legacy(groups: string, read: ReadText): Promise<MemoryFacts | undefined> {
  const path = /^\d+:(?:[^:]*,)?memory(?:,[^:]*)?:(.*)$/m.exec(groups)?.[1];
  if (path === undefined) return undefined;
  // Inside of a container the path may be one that only the host sees.
  const folder = await firstFolder(
    [`${ROOT}/memory${path}`, `${ROOT}/memory`],
    "memory.usage_in_bytes",
    read,
  );
  if (folder === undefined) return undefined;
  const used = numberOf(await read(`${folder}/memory.usage_in_bytes`)) ?? 0;
  const limitBytes = numberOf(await read(`${folder}/memory.limit_in_bytes`)) ?? UNLIMITED;
  const cached = fieldOf(await read(`${folder}/memory.stat`), "total_inactive_file");
  return facts({ limitBytes, used, cached, stallPercent: 0 });
}

function facts(of: { limitBytes: number; used: number; cached: number; stallPercent: number }): MemoryFacts {
  const { limitBytes, used, cached, stallPercent } = of;
  return { limitBytes, freeBytes: Math.max(0, limitBytes - Math.max(0, used - cached)), stallPercent };
}

function machineFacts(text: string): Omit<MemoryFacts, "stallPercent"> {
  const kibibytes = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(text)?.[1] ?? UNLIMITED / 1024);
  return { limitBytes: kibibytes("MemTotal") * 1024, freeBytes: kibibytes("MemAvailable") * 1024 };
}

async function firstFolder(
  folders: readonly string[],
  name: string,
  read: ReadText,
): Promise<string | undefined> {
  for (const folder of folders) {
    if ((await read(`${folder}/${name}`)) !== undefined) return folder;
  }
  return undefined;
}

/** undefined for "max" and for what is not there. */
function numberOf(text: string | undefined): number | undefined {
  return text !== undefined && /^\d+\s*$/.test(text) ? Number(text) : undefined;
}

function fieldOf(text: string | undefined, name: string): number {
  return Number(new RegExp(`^${name} (\\d+)$`, "m").exec(text ?? "")?.[1] ?? 0);
}

async function readText(path: string): Promise<string | undefined> {
  // A controller that is not there is no failure: there is no limit of it then.
  return await readFile(path, "utf8").catch(() => undefined);
}
