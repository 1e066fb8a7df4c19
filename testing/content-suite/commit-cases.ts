import type { Case, ContentRig } from "./suite-rig.js";

const WRITERS = 8;

/** What a commit refuses, and what it leaves. */
export const commitCases: Readonly<Record<string, Case>> = {
  CommitExists: async (rig) => {
    const sample = rig.sample(256);
    await rig.put("c1", sample);
    for (const expected of [sample.digest, undefined]) {
      const writer = await rig.writer(`again-${expected === undefined}`);
      await writer.write(Buffer.from(sample.bytes));
      await rig.fails("commit", "ALREADY_EXISTS", writer.commit({ size: 256, expected, labels: {} }));
      await writer.close();
      await rig.fails("the ingest", "NOT_FOUND", rig.store.status(writer.ref));
    }
    await rig.fails("opening", "ALREADY_EXISTS", rig.writer("open", { expected: sample.digest }));
    await rig.fails("status", "NOT_FOUND", rig.store.status(rig.ref("open")));
    await rig.checkBytes(sample.digest, sample.bytes);
  },

  CommitErrorState: async (rig) => {
    const one = rig.sample(256);
    const other = rig.sample(256);
    await rig.put("c1", one);
    const more = Buffer.concat([one.bytes, Buffer.from("more")]);

    await failing(rig, { bytes: one.bytes, size: 256, expected: one.digest, code: "ALREADY_EXISTS" });
    await failing(rig, { bytes: one.bytes, size: 256, code: "ALREADY_EXISTS" });
    await failing(rig, { bytes: more, size: 260, expected: other.digest, code: "FAILED_PRECONDITION" });
    rig.t.equal((await rig.store.status(rig.ref("state"))).offset, 260, "a wrong digest keeps the bytes");
    await failing(rig, { bytes: undefined, size: 256, code: "FAILED_PRECONDITION" });
    rig.t.equal((await rig.store.status(rig.ref("state"))).offset, 260, "a wrong size keeps the bytes");

    const writer = await rig.writer("state");
    await rig.checkLocked("state");
    await writer.commit({ size: 260, expected: undefined, labels: {} });
    await rig.fails(
      "a second commit",
      "FAILED_PRECONDITION",
      writer.commit({ size: 260, expected: undefined, labels: {} }),
    );
    await writer.close();
    await failing(rig, { bytes: one.bytes, size: 256, expected: one.digest, code: "ALREADY_EXISTS" });
    await (await rig.writer("state")).close();
    await (await rig.writer("state")).close();
  },

  CommitAfterClose: async (rig) => {
    const sample = rig.sample(10);
    const writer = await rig.writer("closed");
    await writer.write(Buffer.from(sample.bytes));
    await writer.close();
    const request = { size: 10, expected: sample.digest, labels: {} };
    await rig.fails("commit", "FAILED_PRECONDITION", writer.commit(request));
    const again = await rig.writer("closed");
    rig.t.equal(again.offset, 10);
    rig.t.equal(await again.commit(request), sample.digest);
  },

  /** One of the writers makes the blob, and all the others are told that it is there. */
  CommitRace: async (rig) => {
    const sample = rig.sample(10_000);
    const writers = await Promise.all(
      Array.from({ length: WRITERS }, (_, index) => rig.writer(`racer-${index}`)),
    );
    await Promise.all(writers.map(async (writer) => await writer.write(Buffer.from(sample.bytes))));
    const request = { size: 10_000, expected: undefined, labels: {} };
    const outcomes = await Promise.all(
      writers.map(
        async (writer) =>
          await writer.commit(request).then(
            () => "made",
            ({ code }) => code as string,
          ),
      ),
    );
    rig.t.same(outcomes.sort(), [...Array<string>(WRITERS - 1).fill("ALREADY_EXISTS"), "made"]);
    await rig.checkBytes(sample.digest, sample.bytes);
    for (const writer of writers) await rig.fails("an ingest", "NOT_FOUND", rig.store.status(writer.ref));
  },
};

interface Failing {
  /** undefined: what an earlier writer left. */
  readonly bytes: Buffer | undefined;
  readonly size: number;
  readonly expected?: ReturnType<ContentRig["sample"]>["digest"];
  readonly code: "ALREADY_EXISTS" | "FAILED_PRECONDITION";
}

/** A commit that fails, and unlocks the ref by that. */
async function failing(rig: ContentRig, { bytes, size, expected, code }: Failing): Promise<void> {
  const writer = await rig.writer("state");
  await rig.checkLocked("state");
  if (bytes !== undefined) await writer.write(Buffer.from(bytes));
  await rig.fails("commit", code, writer.commit({ size, expected, labels: {} }));
  // The lock is free before anybody closes.
  const next = await rig.writer("state");
  await next.close();
  await writer.close();
}
