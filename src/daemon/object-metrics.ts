import { setImmediate as turn } from "node:timers/promises";
import {
  containers,
  contents,
  images,
  type KeyParts,
  leases,
  type Metadata,
  namespacedSnapshots,
  namespaces,
  type Table,
} from "../metadata/index.js";
import type { Metrics, Sample } from "./metrics.js";

/** Rows of one read; others get their turn in between. */
const PAGE_ROWS = 256;
/** Rows of one table. One that has more is not on the page: a figure that is not whole would mislead. */
const ROWS_MAX = 200_000;
/** A page that comes sooner has the figures of the one before. */
const FRESH_MS = 10_000;

interface Sum {
  readonly labels: readonly string[];
  count: number;
  bytes: number;
}

interface Counted {
  readonly name: string;
  readonly help: string;
  readonly labels: readonly string[];
  readonly read: (metadata: Metadata) => Promise<readonly Sum[] | undefined>;
}

const kinds: readonly Counted[] = [
  kind({ word: "namespaces", what: "Namespaces.", table: namespaces, labels: [] }),
  kind({ word: "images", what: "Images.", table: images, labels: ["namespace"] }),
  kind({
    word: "containers",
    what: "Containers, with and without a task.",
    table: containers,
    labels: ["namespace"],
  }),
  kind({ word: "leases", what: "Leases.", table: leases, labels: ["namespace"] }),
  kind({
    word: "snapshots",
    what: "Snapshots that clients see.",
    table: namespacedSnapshots,
    labels: ["namespace", "snapshotter"],
  }),
];

const contentKind = kind({
  word: "content_blobs",
  what: "Blobs that a namespace has; several may have the same.",
  table: contents,
  labels: ["namespace"],
  bytesOf: ({ size }) => size,
});

/** What clients have in the daemon, counted for each page with bounded work. */
export function watchObjects(metrics: Metrics, metadata: Metadata): void {
  const sums = new Map<string, readonly Sum[]>();
  let readAtMs = Number.NEGATIVE_INFINITY;
  metrics.beforePage(async () => {
    if (performance.now() - readAtMs < FRESH_MS) return;
    for (const { name, read } of [...kinds, contentKind]) {
      const found = await read(metadata);
      if (found === undefined) sums.delete(name);
      else sums.set(name, found);
    }
    readAtMs = performance.now();
  });
  const samples = (name: string, field: "count" | "bytes"): Sample[] =>
    (sums.get(name) ?? []).map((sum) => ({ labels: sum.labels, value: sum[field] }));
  for (const { name, help, labels } of [...kinds, contentKind]) {
    metrics.watch({ name, help, labels, type: "gauge", read: () => samples(name, "count") });
  }
  metrics.watch({
    name: "lazuli_content_bytes",
    help: "Bytes of the blobs that a namespace has.",
    labels: ["namespace"],
    type: "gauge",
    read: () => samples(contentKind.name, "bytes"),
  });
}

function kind<Value>(options: {
  readonly word: string;
  readonly what: string;
  readonly table: Table<Value>;
  /** For the first parts of a row's key. */
  readonly labels: readonly string[];
  readonly bytesOf?: (row: Value) => number;
}): Counted {
  const { word, what: help, table, labels, bytesOf = () => 0 } = options;
  const read = async (metadata: Metadata): Promise<readonly Sum[] | undefined> => {
    const sums = new Map<string, Sum>();
    let after: KeyParts | undefined;
    for (let rows = 0; rows <= ROWS_MAX; rows += PAGE_ROWS) {
      const page = metadata.page(table, [], { after, limit: PAGE_ROWS });
      for (const { key, value } of page) {
        const values = labels.map((_label, index) => String(key[index]));
        const place = values.join("\0");
        const sum = sums.get(place) ?? { labels: values, count: 0, bytes: 0 };
        sum.count += 1;
        sum.bytes += bytesOf(value);
        sums.set(place, sum);
      }
      if (page.length < PAGE_ROWS) return [...sums.values()];
      after = page.at(-1)!.key;
      await turn();
    }
    return undefined;
  };
  return { name: `lazuli_${word}`, help, labels, read };
}
