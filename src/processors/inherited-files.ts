import { readdir, readFile } from "node:fs/promises";
import { INHERITED_FILE_MAX } from "./limits.js";

const O_CLOEXEC = 0o2000000;

let found: Promise<ReadonlySet<number>> | undefined;

/**
 * Numbers of the files that this process was started with, beside stdin, stdout and stderr (sockets of systemd, for
 * instance), and that a child would inherit: Node's own and ours are all close-on-exec. Looked up once.
 */
export async function inheritedFiles(): Promise<ReadonlySet<number>> {
  found ??= lookUp();
  return await found;
}

async function lookUp(): Promise<ReadonlySet<number>> {
  const numbers = (await readdir("/proc/self/fd")).map(Number);
  const inherited = new Set<number>();
  for (const number of numbers.filter((candidate) => candidate > 2 && candidate <= INHERITED_FILE_MAX)) {
    // The one that lists the folder is gone by now.
    const facts = await readFile(`/proc/self/fdinfo/${number}`, "utf8").catch(() => "");
    const flags = /^flags:\s*([0-7]+)$/m.exec(facts)?.[1];
    if (flags !== undefined && (Number.parseInt(flags, 8) & O_CLOEXEC) === 0) inherited.add(number);
  }
  return inherited;
}
