import type { Test } from "tap";
import type { ContentStore } from "../../src/content/contract.js";
import { ContentRig, digestOf, type StoreTraits } from "./suite-rig.js";

/** Two namespaces over the same files. */
export interface NamespacePair {
  /** With the policy `shareable`, this one carries `containerd.io/namespace.shareable=true`. */
  readonly first: ContentStore;
  readonly second: ContentStore;
  dispose(): Promise<void>;
}

export interface CrossNamespaceOptions {
  readonly name: string;
  /** `shareable`: isolated, but the first namespace lends what it has. */
  readonly policy: "shared" | "isolated" | "shareable";
  readonly factory: () => Promise<NamespacePair>;
  readonly now: () => bigint;
}

type PairCase = (first: ContentRig, second: ContentRig) => Promise<void>;

const SIZE = 1000;
const EMPTY = digestOf(new Uint8Array());

/** The other namespace gets the blob without sending it, and can't see it before. */
const share: PairCase = async (first, second) => {
  const sample = first.sample(SIZE);
  const { digest } = sample;
  const from = first.now();
  await first.put("share", sample);
  await second.fails("info before it was asked for", "NOT_FOUND", second.store.info(digest));
  await second.fails("open before it was asked for", "NOT_FOUND", second.store.open(digest));
  const writer = await second.writer("share", { total: SIZE, expected: digest });
  const opened = [from, second.now()] as const;
  second.checkStatus(writer, { offset: SIZE, total: SIZE, digest, started: opened, updated: opened });
  await writer.commit({ size: SIZE, expected: digest, labels: { mine: "yes" } });
  const window = [from, second.now()] as const;
  await first.checkInfo(digest, { size: SIZE, created: window, updated: window });
  await second.checkInfo(digest, { size: SIZE, labels: { mine: "yes" }, created: window, updated: window });
  await first.store.delete(digest);
  await second.checkBytes(digest, sample.bytes);
};

/** The bytes must be sent although another namespace has them; each then has its own labels. */
const isolate: PairCase = async (first, second) => {
  const sample = first.sample(SIZE);
  const { digest } = sample;
  await first.put("isolate", sample, { whose: "first" });
  const { value: writer, window: started } = await second.during(() =>
    second.writer("isolate", { total: SIZE, expected: digest }),
  );
  second.checkStatus(writer, { offset: 0, total: SIZE, digest: EMPTY, started, updated: started });
  await writer.write(Buffer.from(sample.bytes));
  await writer.commit({ size: SIZE, expected: digest, labels: { whose: "second" } });
  await first.checkInfo(digest, { size: SIZE, labels: { whose: "first" } });
  await second.checkInfo(digest, { size: SIZE, labels: { whose: "second" } });
};

/** Writing on after a shared blob copies it first. */
const append: PairCase = async (first, second) => {
  const sample = first.sample(SIZE);
  await first.put("append", sample);
  const bytes = Buffer.concat([sample.bytes, Buffer.from("appended bytes")]);
  const digest = digestOf(bytes);
  const writer = await second.writer("append", { total: SIZE, expected: sample.digest });
  second.t.equal(writer.offset, SIZE);
  await writer.write(Buffer.from("appended bytes"));
  await writer.commit({ size: bytes.length, expected: digest, labels: {} });
  await first.checkBytes(sample.digest, sample.bytes);
  await second.checkBytes(digest, bytes);
  await second.fails("what was appended to", "NOT_FOUND", second.store.info(sample.digest));
};

/** Names, ingests and deletions of one namespace are nothing to the other. */
const apart: PairCase = async (first, second) => {
  const sample = first.sample(SIZE);
  const mine = await first.writer("apart");
  const theirs = await second.writer("apart");
  await mine.write(Buffer.from(sample.bytes));
  second.t.equal(theirs.offset, 0);
  await mine.commit({ size: SIZE, expected: sample.digest, labels: {} });
  await theirs.close();
  await second.store.abort(theirs.ref);
  for await (const { digest } of second.store.walk([])) second.t.not(digest, sample.digest);
  await second.fails("delete", "NOT_FOUND", second.store.delete(sample.digest));
  const update = { digest: sample.digest, labels: {}, fieldPaths: [] };
  await second.fails("update", "NOT_FOUND", second.store.update(update));
  await first.checkBytes(sample.digest, sample.bytes);
};

const cases: Readonly<Record<CrossNamespaceOptions["policy"], Readonly<Record<string, PairCase>>>> = {
  shared: { CrossNamespaceShare: share, CrossNamespaceAppend: append, NamespacesApart: apart },
  isolated: { CrossNamespaceIsolate: isolate, NamespacesApart: apart },
  shareable: {
    SharedNamespaceIsolate: share,
    /** What the second has is its own. */
    UnsharedNamespaceIsolate: async (first, second) => await isolate(second, first),
    NamespacesApart: apart,
  },
};

/** containerd's cases of two namespaces over one store. */
export async function crossNamespaceSuite(t: Test, options: CrossNamespaceOptions): Promise<void> {
  const { first, second, dispose } = await options.factory();
  t.teardown(async () => await dispose());
  const traits: StoreTraits = {
    algorithms: ["sha256"],
    keepsLabels: true,
    filtersBySize: false,
    refBytesMax: 100,
    takesNulInRefs: false,
  };
  for (const [prefix, run] of Object.entries(cases[options.policy])) {
    await t.test(`${options.name}: ${prefix}`, async (t) => {
      const rig = (store: ContentStore) =>
        new ContentRig({ t, prefix, now: options.now, traits, store: () => store, reopen: undefined });
      await run(rig(first), rig(second));
    });
  }
}
