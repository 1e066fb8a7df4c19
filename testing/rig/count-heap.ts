import { mkdir, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { delay } from "../../src/async/index.js";
import { unavailable } from "../../src/errors/index.js";

const LOOKS = 240;
const PAUSE_MS = 250;

export interface HeapCount {
  /** Objects by the name of their class, e.g. `Timeout`; V8's own and functions are left out. */
  readonly objects: ReadonlyMap<string, number>;
  /** All that is reachable, bytes of buffers and code included. */
  readonly bytes: number;
}

/** What V8 writes, as far as it is read here. Nodes are rows of numbers. */
interface Snapshot {
  readonly snapshot: {
    readonly meta: { readonly node_fields: string[]; readonly node_types: [string[], ...unknown[]] };
  };
  readonly nodes: readonly number[];
  readonly strings: readonly string[];
}

/** Environment of a program of Node that countHeap() can ask. */
export function heapEnv(folder: string): NodeJS.ProcessEnv {
  return { NODE_OPTIONS: `--heapsnapshot-signal=SIGUSR2 --diagnostic-dir=${folder}` };
}

/**
 * Counts what is reachable in a program's main thread, after a collection. It stands still for a second meanwhile, and
 * keeps more than 100 MiB for its allocator afterwards: resident memory is to be measured before.
 */
export async function countHeap({ pid, folder }: { pid: number; folder: string }): Promise<HeapCount> {
  await mkdir(folder, { recursive: true });
  process.kill(pid, "SIGUSR2");
  for (let look = 0; look < LOOKS; look += 1) {
    await delay(PAUSE_MS);
    const name = (await readdir(folder)).find((one) => one.endsWith(".heapsnapshot"));
    if (name === undefined) continue;
    const path = join(folder, name);
    const snapshot = snapshotOf(await readFile(path, "utf8"));
    if (snapshot === undefined) continue;
    await rm(path);
    return countOf(snapshot);
  }
  throw unavailable(`Cannot count the heap of process ${pid}: it wrote no snapshot`, {
    subject: String(pid),
    reason: "no-heap-snapshot",
  });
}

function snapshotOf(text: string): Snapshot | undefined {
  if (!text.endsWith("}\n") && !text.endsWith("}")) return undefined;
  try {
    return JSON.parse(text) as Snapshot;
  } catch {
    return undefined; // It is still being written.
  }
}

function countOf({ snapshot, nodes, strings }: Snapshot): HeapCount {
  const { node_fields: fields, node_types: types } = snapshot.meta;
  const [type, name, size] = ["type", "name", "self_size"].map((field) => fields.indexOf(field));
  const objects = new Map<string, number>();
  let bytes = 0;
  for (let at = 0; at < nodes.length; at += fields.length) {
    bytes += nodes[at + size!]!;
    const kind = types[0][nodes[at + type!]!];
    const what = strings[nodes[at + name!]!]!;
    if ((kind !== "object" && kind !== "native") || what.startsWith("system / ")) continue;
    objects.set(what, (objects.get(what) ?? 0) + 1);
  }
  return { objects, bytes };
}
