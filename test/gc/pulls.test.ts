import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t, { type Test } from "tap";
import { type Digest, sha256 } from "../../src/bytes/index.js";
import {
  type ContentStore,
  type LocalStore,
  type NamespacedContent,
  namespacedContent,
  openLocalStore,
} from "../../src/content/index.js";
import { LazuliError } from "../../src/errors/index.js";
import { loadBinding } from "../../src/fuse/index.js";
import { type Collector, createCollector } from "../../src/gc/index.js";
import {
  contents,
  ImageTable,
  ingests,
  LeaseTable,
  type Metadata,
  openMetadata,
} from "../../src/metadata/index.js";
import { Random } from "../../testing/crash/random.js";

const PULLS = Number(process.env.LAZULI_PULLS ?? 200);
const PULLERS = 20;
const NAMESPACE = "default";
const now = (): bigint => BigInt(Date.now()) * 1_000_000n;

interface Rig {
  readonly metadata: Metadata;
  readonly store: LocalStore;
  readonly content: NamespacedContent;
  readonly images: ImageTable;
  readonly leases: LeaseTable;
  readonly collector: Collector;
}

async function openRig(t: Test): Promise<Rig> {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-gc-pulls-"));
  t.teardown(async () => await rm(folder, { recursive: true, force: true }));
  const metadata = await openMetadata({ directory: join(folder, "metadata") });
  t.teardown(async () => await metadata.close());
  const store = await openLocalStore({
    root: join(folder, "content"),
    now,
    fileSteps: loadBinding().fileSteps,
  });
  t.teardown(async () => await store.close());
  const content = namespacedContent({ metadata, store, now });
  return {
    metadata,
    store,
    content,
    images: new ImageTable({ metadata, now }),
    leases: new LeaseTable({ metadata, now }),
    collector: createCollector({ metadata, content, snapshotters: new Map(), collectibles: [], now }),
  };
}

/** Images share most of their layers, so that one's garbage is the next one's content. */
class Puller {
  readonly #rig: Rig;
  readonly #random: Random;
  readonly #number: number;
  #pulls = 0;
  kept = 0;

  constructor(rig: Rig, number: number, seed: number) {
    this.#rig = rig;
    this.#number = number;
    this.#random = new Random(seed + number);
  }

  /** Pulls an image as containerd's client does, and looks whether all of it is there before and after the lease. */
  async pull(): Promise<void> {
    const { images, leases, content } = this.#rig;
    this.#pulls += 1;
    const name = `image-${this.#number}`;
    const id = `pull-${this.#number}-${this.#pulls}`;
    const expire = new Date(Date.now() + 3_600_000).toISOString();
    await leases.create({ namespace: NAMESPACE, id, labels: { "containerd.io/gc.expire": expire } });
    const leased = content.for({ namespace: NAMESPACE, lease: id });
    const layers: Digest[] = [];
    const isCancelled = this.#random.chance(20);
    for (let layer = this.#random.below(4) + 1; layer > 0; layer -= 1) {
      layers.push(await this.#ingest(leased, Buffer.from(`layer ${this.#random.below(12)}`)));
    }
    const labels = Object.fromEntries(
      layers.map((digest, index) => [`containerd.io/gc.ref.content.l.${index}`, digest]),
    );
    const manifest = await this.#ingest(leased, Buffer.from(JSON.stringify(layers)), labels);
    if (!isCancelled) {
      const target = { mediaType: "m", digest: manifest, size: 1, annotations: {} };
      await images.create({ namespace: NAMESPACE, name, labels: {}, target });
      await this.#look([manifest, ...layers]);
    }
    await leases.delete({ namespace: NAMESPACE, id });
    if (isCancelled) return;
    await this.#look([manifest, ...layers]);
    this.kept += 1;
    await images.delete({ namespace: NAMESPACE, name });
  }

  async #ingest(store: ContentStore, bytes: Buffer, labels: Record<string, string> = {}): Promise<Digest> {
    const expected = sha256(bytes);
    for (;;) {
      try {
        const writer = await store.writer({ ref: `pull-${expected}`, total: bytes.length, expected });
        if (writer.offset > 0 && writer.digest() !== expected) await writer.truncate(0);
        if (writer.offset === 0) await writer.write(Buffer.from(bytes));
        if (this.#random.chance(5)) {
          // The connection broke: the next try goes on with the same ref.
          await writer.close();
          continue;
        }
        return await writer.commit({ size: bytes.length, expected, labels });
      } catch (thrown) {
        const { code } = LazuliError.from(thrown);
        if (code === "ALREADY_EXISTS") return expected;
        // Another puller has the ref: it is awaited as containerd's client does.
        if (code !== "UNAVAILABLE") throw thrown;
        await new Promise((resolve) => setTimeout(resolve, 1 + this.#random.below(5)));
      }
    }
  }

  async #look(digests: readonly Digest[]): Promise<void> {
    const store = this.#rig.content.for({ namespace: NAMESPACE });
    for (const digest of digests) {
      await using reader = await store.open(digest);
      await reader.read(0, reader.size);
    }
  }
}

t.test("collect() takes nothing from pulls that run beside it, with cancels and prunes", async (t) => {
  const rig = await openRig(t);
  const seed = Number(process.env.LAZULI_SEED ?? Date.now() % 1_000_000);
  t.comment(`again with LAZULI_SEED=${seed}`);
  let left = PULLS;
  let isPulling = true;
  const pullers = Array.from({ length: PULLERS }, (_, number) => new Puller(rig, number, seed));
  let collections = 0;
  let removed = 0;
  const collecting = (async () => {
    while (isPulling) {
      const stats = await rig.collector.collect();
      collections += 1;
      removed += stats.removed.content ?? 0;
    }
  })();
  try {
    await Promise.all(
      pullers.map(async (puller) => {
        while (left > 0) {
          left -= 1;
          await puller.pull();
        }
      }),
    );
  } finally {
    isPulling = false;
    await collecting;
  }
  t.ok(
    pullers.some(({ kept }) => kept > 0),
    "images were pulled",
  );
  t.ok(removed > 0, `${collections} collections removed ${removed} blobs meanwhile`);
  await rig.collector.collect();
  t.same([...rig.metadata.entries(contents, [])], [], "no row is left");
  t.same(
    [...rig.metadata.entries(ingests, [])].length,
    await countIngests(rig.store),
    "ingests are what rows say",
  );
  const blobs: string[] = [];
  for await (const { digest } of rig.store.walk([])) blobs.push(digest);
  t.same(blobs, [], "no blob is left");
});

async function countIngests(store: LocalStore): Promise<number> {
  return (await store.statuses([])).length;
}
