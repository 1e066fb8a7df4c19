import { type Digest, sha256 } from "../../src/bytes/index.js";
import type { ContentStore } from "../../src/content/index.js";
import type { Step } from "./steps.js";

const WRITES = 3;
const WRITE_BYTES = 20_000;
const labels = { "containerd.io/gc.root": "kept" };

/** The bytes of a blob of the sweeps: the same for the same name. */
export function bytesOf(name: string): Buffer {
  return Buffer.alloc(WRITES * WRITE_BYTES, `${name} `);
}

/** Blobs that come, are labelled, and go again. */
export function contentSteps(number: number, store: ContentStore): readonly Step[] {
  const [kept, gone] = [`blob-${number}`, `blob-${number}-gone`];
  const digest = sha256(bytesOf(kept));
  return [
    ingest(store, kept),
    ingest(store, gone),
    {
      name: "content label",
      run: async () =>
        await store.update({ digest, labels: { ...labels, team: "storage" }, fieldPaths: ["labels"] }),
      notes: (wanted) => wanted.set(`blob ${digest}`, "storage"),
    },
    {
      name: "content delete",
      run: async () => await store.delete(sha256(bytesOf(gone))),
      notes: (wanted) => wanted.delete(`blob ${sha256(bytesOf(gone))}`),
    },
  ];
}

function ingest(store: ContentStore, name: string): Step {
  const bytes = bytesOf(name);
  const digest = sha256(bytes);
  return {
    name: "ingest",
    run: async () => {
      const writer = await store.writer({ ref: name, total: bytes.length, expected: digest });
      try {
        // What an interrupted ingest left is gone on with.
        for (let at = writer.offset; at < bytes.length; at += WRITE_BYTES) {
          await writer.write(Buffer.from(bytes.subarray(at, at + WRITE_BYTES)));
        }
        await writer.commit({ size: bytes.length, expected: digest, labels });
      } finally {
        await writer.close();
      }
    },
    notes: (wanted) => wanted.set(`blob ${digest}`, ""),
  };
}

/** Every blob with what it is labelled, read whole and checked. */
export async function foundBlobs(store: ContentStore): Promise<[string, string][]> {
  const found: [string, string][] = [];
  for await (const info of store.walk([])) {
    found.push([`blob ${info.digest}`, `${await damageOf(store, info.digest)}${info.labels.team ?? ""}`]);
  }
  return found;
}

async function damageOf(store: ContentStore, digest: Digest): Promise<string> {
  const reader = await store.open(digest);
  try {
    return sha256(await reader.read(0, reader.size)) === digest ? "" : "damaged ";
  } finally {
    await reader.close();
  }
}
