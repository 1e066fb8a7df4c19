import { type Case, digestOf } from "./suite-rig.js";

const EMPTY = digestOf(new Uint8Array());
const MIB = 1024 * 1024;

/** What a writer takes and what it says of itself. */
export const writeCases: Readonly<Record<string, Case>> = {
  /** Five writers are open at once, with and without size and digest; one has a large blob. */
  Writer: async (rig) => {
    const labels = { "containerd.io/gc.root": "2026-01-01T00:00:00Z" };
    const samples = [256, 256, 256, 256, 32 * MIB].map((size) => rig.sample(size));
    const writers = [];
    for (const [index, { bytes, digest }] of samples.entries()) {
      writers.push(
        await rig.writer(`c${index}`, {
          ...(index % 2 === 1 ? { total: bytes.length } : {}),
          ...(index >= 2 ? { expected: digest } : {}),
        }),
      );
    }
    for (const [index, { bytes, digest }] of samples.entries()) {
      const writer = writers[index]!;
      const pieceLength = bytes.length > MIB ? bytes.length : 32;
      for (let offset = 0; offset < bytes.length; offset += pieceLength) {
        await writer.write(Buffer.from(bytes.subarray(offset, offset + pieceLength)));
      }
      const { window } = await rig.during(() => writer.commit({ size: 0, expected: undefined, labels }));
      rig.t.equal(writer.digest(), digest);
      await rig.checkInfo(digest, { size: bytes.length, labels, created: window, updated: window });
      await rig.checkBytes(digest, bytes);
    }
  },

  UpdateStatus: async (rig) => {
    const { bytes, digest } = rig.sample(256);
    const { value: writer, window: started } = await rig.during(() =>
      rig.writer("c", { total: 256, expected: digest }),
    );
    rig.checkStatus(writer, { offset: 0, total: 256, digest: EMPTY, started, updated: started });
    let offset = 0;
    for (const end of [64, 192, 256]) {
      const piece = Buffer.from(bytes.subarray(offset, end));
      const { window: updated } = await rig.during(() => writer.write(piece));
      offset = end;
      rig.checkStatus(writer, {
        offset,
        total: 256,
        digest: digestOf(bytes.subarray(0, end)),
        started,
        updated,
      });
      const status = await rig.store.status(writer.ref);
      rig.t.match(status, { ref: writer.ref, offset, total: 256 });
    }
    const { window } = await rig.during(() => writer.commit({ size: 0, expected: undefined, labels: {} }));
    await rig.checkInfo(digest, { size: 256, created: window, updated: window });
    await rig.fails("status of a committed ref", "NOT_FOUND", rig.store.status(writer.ref));
  },

  ZeroLengthBlob: async (rig) => {
    const writer = await rig.writer("empty");
    await writer.write(new Uint8Array());
    rig.t.equal(writer.offset, 0);
    rig.t.equal(await writer.commit({ size: 0, expected: EMPTY, labels: {} }), EMPTY);
    await rig.checkInfo(EMPTY, { size: 0 });
    await using reader = await rig.store.open(EMPTY);
    rig.t.equal(reader.size, 0);
    rig.t.equal((await reader.read(0, 10)).length, 0);
    await rig.fails("the empty blob again", "ALREADY_EXISTS", rig.writer("again", { expected: EMPTY }));
  },

  Algorithms: async (rig) => {
    for (const algorithm of rig.traits.algorithms) {
      const sample = rig.sample(5000, algorithm);
      const writer = await rig.writer(algorithm, { expected: sample.digest });
      await writer.write(Buffer.from(sample.bytes.subarray(0, 1000)));
      rig.checkRunningDigest(writer.digest(), sample.bytes.subarray(0, 1000));
      await writer.close();
      const resumed = await rig.writer(algorithm, { expected: sample.digest });
      rig.checkRunningDigest(resumed.digest(), sample.bytes.subarray(0, 1000));
      await resumed.write(Buffer.from(sample.bytes.subarray(1000)));
      rig.t.equal(await resumed.commit({ size: 5000, expected: sample.digest, labels: {} }), sample.digest);
      await rig.checkBytes(sample.digest, sample.bytes);
      // The digest is named at the commit only.
      const late = rig.sample(3000, algorithm);
      const lateWriter = await rig.writer(`${algorithm}-late`);
      await lateWriter.write(Buffer.from(late.bytes));
      rig.t.equal(await lateWriter.commit({ size: 3000, expected: late.digest, labels: {} }), late.digest);
      await rig.checkInfo(late.digest, { size: 3000 });
    }
  },

  OddRefs: async (rig) => {
    const odd = [
      "ünïcödé/層/🙂",
      "a/b/../c",
      "../../etc/passwd",
      ".",
      "//",
      " spaces and\ttabs ",
      "line\nbreak",
      ...(rig.traits.takesNulInRefs ? ["nul\0byte"] : []),
      'quotes"and\\slashes',
      "%2e%2e",
      "case",
      "CASE",
      "é",
      "e\u0301",
      "x".repeat(rig.traits.refBytesMax - rig.ref("").length),
    ];
    const samples = odd.map(() => rig.sample(300));
    for (const [index, name] of odd.entries()) {
      const writer = await rig.writer(name, { total: 300 });
      rig.t.equal(writer.offset, 0, "each ref has an ingest of its own");
      await writer.write(Buffer.from(samples[index]!.bytes.subarray(0, 100 + index)));
      await writer.close();
    }
    const known = new Map((await rig.store.statuses([])).map((status) => [status.ref, status]));
    for (const [index, name] of odd.entries()) {
      const shown = JSON.stringify(name.slice(0, 40));
      rig.t.match(known.get(rig.ref(name)), { offset: 100 + index, total: 300 }, `listed: ${shown}`);
      rig.t.equal((await rig.store.status(rig.ref(name))).ref, rig.ref(name), `status: ${shown}`);
      const writer = await rig.writer(name, { total: 300 });
      await writer.write(Buffer.from(samples[index]!.bytes.subarray(100 + index)));
      rig.t.equal(
        await writer.commit({ size: 300, expected: samples[index]!.digest, labels: {} }),
        samples[index]!.digest,
      );
    }
  },
};
