import type { IngestWriter } from "../../src/content/contract.js";
import { type Case, type ContentRig, digestOf, type Sample } from "./suite-rig.js";

type Finish = (writer: IngestWriter, sample: Sample, offset: number) => Promise<void>;

/** How a client goes on after it found the offset: from the start, from there on, or in pieces from there on. */
const finishes: Readonly<Record<string, Finish>> = {
  ResumeTruncate: async (writer, { bytes }) => {
    await writer.truncate(0);
    await inPieces(writer, bytes, 1024);
  },
  ResumeDiscard: async (writer, { bytes }, offset) => await inPieces(writer, bytes.subarray(offset), 1024),
  ResumeCopy: async (writer, { bytes }, offset) => await inPieces(writer, bytes.subarray(offset), 32 * 1024),
  ResumeCopySeeker: async (writer, { bytes }) => await inPieces(writer, bytes.subarray(writer.offset), 4096),
  ResumeCopyReaderAt: async (writer, { bytes }) => {
    if (writer.offset < bytes.length) await writer.write(Buffer.from(bytes.subarray(writer.offset)));
  },
};

async function inPieces(writer: IngestWriter, bytes: Buffer, length: number): Promise<void> {
  for (let offset = 0; offset < bytes.length; offset += length) {
    await writer.write(Buffer.from(bytes.subarray(offset, offset + length)));
  }
}

function resuming(name: string, finish: Finish): Case {
  return async (rig) => {
    for (const size of [500, 5000, 50_000]) {
      for (const share of [0, 0.1, 0.5, 0.9, 1]) await resume(rig, { name, finish, size, share });
    }
  };
}

interface Resume {
  readonly name: string;
  readonly finish: Finish;
  readonly size: number;
  readonly share: number;
}

async function resume(rig: ContentRig, { name, finish, size, share }: Resume): Promise<void> {
  const sample = rig.sample(size);
  const arrived = Math.floor(size * share);
  const ref = `${name}-${size}-${share}`;
  const open = { total: size, expected: sample.digest };
  const first = await rig.writer(ref, open);
  await first.write(Buffer.from(sample.bytes.subarray(0, arrived)));
  await first.close();
  const second = await rig.writer(ref, open);
  rig.t.equal(second.offset, arrived);
  const { window } = await rig.during(async () => {
    await finish(second, sample, arrived);
    await second.commit({ size, expected: sample.digest, labels: {} });
  });
  await second.close();
  await rig.checkInfo(sample.digest, { size, created: window, updated: window });
}

/** Ingests that are resumed, aborted, listed, and wanted by two at once. */
export const ingestCases: Readonly<Record<string, Case>> = {
  Resume: async (rig) => {
    const { bytes, digest } = rig.sample(256);
    const half = digestOf(bytes.subarray(0, 128));
    const open = { total: 256, expected: digest };
    const { value: first, window: started } = await rig.during(() => rig.writer("cb", open));
    const { window: updated } = await rig.during(() => first.write(Buffer.from(bytes.subarray(0, 128))));
    const expected = { offset: 128, total: 256, digest: half, started, updated };
    rig.checkStatus(first, expected);
    await first.close();
    const second = await rig.writer("cb", open);
    rig.checkStatus(second, expected);
    const { window: later } = await rig.during(() => second.write(Buffer.from(bytes.subarray(128))));
    rig.checkStatus(second, { offset: 256, total: 256, digest, started, updated: later });
    const { window } = await rig.during(() => second.commit({ size: 0, expected: undefined, labels: {} }));
    await second.close();
    await rig.checkInfo(digest, { size: 256, created: window, updated: window });
  },

  ...Object.fromEntries(Object.entries(finishes).map(([name, finish]) => [name, resuming(name, finish)])),

  /** What truncation leaves is what the next writer finds. */
  TruncateKeeps: async (rig) => {
    const { bytes } = rig.sample(100);
    const first = await rig.writer("truncated");
    await first.write(Buffer.from(bytes));
    await rig.fails("truncation to 50", "INVALID_ARGUMENT", first.truncate(50));
    rig.t.equal(first.offset, 100);
    await first.truncate(0);
    rig.t.equal(first.offset, 0);
    rig.t.equal(first.digest(), digestOf(new Uint8Array()));
    await first.close();
    const second = await rig.writer("truncated");
    rig.t.equal(second.offset, 0);
    const short = rig.sample(10);
    await second.write(Buffer.from(short.bytes));
    rig.t.equal(await second.commit({ size: 10, expected: short.digest, labels: {} }), short.digest);
  },

  TwoWriters: async (rig) => {
    const opened = await Promise.allSettled([rig.writer("one"), rig.writer("one"), rig.writer("one")]);
    const winners = opened.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
    rig.t.equal(winners.length, 1, "one of them has the ref");
    for (const result of opened) {
      if (result.status === "rejected") rig.t.equal(result.reason.code, "UNAVAILABLE");
    }
    await winners[0]!.close();
    await winners[0]!.close();
    const next = await rig.writer("one");
    await next.close();
    await rig.fails("a write after close", "FAILED_PRECONDITION", next.write(Buffer.from("late")));
  },

  BadOpens: async (rig) => {
    await rig.fails(
      "an empty ref",
      "INVALID_ARGUMENT",
      rig.store.writer({ ref: "", total: 0, expected: undefined }),
    );
    const signal = AbortSignal.abort();
    await rig.t.rejects(rig.writer("cancelled", { signal }), "a cancelled call");
    await (await rig.writer("cancelled")).close();
  },

  Abort: async (rig) => {
    await rig.fails("abort of nothing", "NOT_FOUND", rig.store.abort(rig.ref("none")));
    await rig.fails("status of nothing", "NOT_FOUND", rig.store.status(rig.ref("none")));
    const { bytes } = rig.sample(100);
    const closed = await rig.writer("closed");
    await closed.write(Buffer.from(bytes));
    await closed.close();
    await rig.store.abort(closed.ref);
    await rig.fails("status after abort", "NOT_FOUND", rig.store.status(closed.ref));
    const fresh = await rig.writer("closed");
    rig.t.equal(fresh.offset, 0, "nothing is left of the aborted ingest");
    await fresh.close();
  },

  AbortWhileOpen: async (rig) => {
    const { bytes, digest } = rig.sample(100);
    const writer = await rig.writer("open");
    await writer.write(Buffer.from(bytes));
    await rig.store.abort(writer.ref);
    await rig.fails("status after abort", "NOT_FOUND", rig.store.status(writer.ref));
    await rig.t.rejects(writer.commit({ size: 100, expected: undefined, labels: {} }), "nothing to commit");
    await writer.close();
    await rig.fails("the blob", "NOT_FOUND", rig.store.info(digest));
    const fresh = await rig.writer("open");
    rig.t.equal(fresh.offset, 0);
    await fresh.close();
    await rig.store.abort(fresh.ref);
  },

  Statuses: async (rig) => {
    const names = ["s1", "s2", "s3"];
    for (const [index, name] of names.entries()) {
      const writer = await rig.writer(name, { total: 100 });
      await writer.write(Buffer.from(rig.sample(index + 1).bytes));
      await writer.close();
    }
    const seen = async (...filters: string[]) =>
      (await rig.store.statuses(filters))
        .filter(({ ref }) => ref.startsWith(rig.ref("s")))
        .map(({ ref, offset, total }) => `${ref.slice(rig.ref("").length)} ${offset} ${total}`)
        .sort();
    rig.t.same(await seen(), ["s1 1 100", "s2 2 100", "s3 3 100"]);
    rig.t.same(await seen(`ref==${rig.ref("s2")}`), ["s2 2 100"]);
    rig.t.same(await seen(`ref==${rig.ref("s1")}`, `ref==${rig.ref("s3")}`), ["s1 1 100", "s3 3 100"]);
    rig.t.same(await seen(`ref~=/^${rig.ref("s")}[12]$/`), ["s1 1 100", "s2 2 100"]);
    rig.t.same(await seen(`ref==${rig.ref("none")}`), []);
    await rig.fails("a bad filter", "INVALID_ARGUMENT", rig.store.statuses(["=="]));
    for (const name of names) await rig.store.abort(rig.ref(name));
    rig.t.same(await seen(), []);
  },
};
