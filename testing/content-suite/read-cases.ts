import type { Digest } from "../../src/bytes/index.js";
import { type Case, digestOf } from "./suite-rig.js";

const MIB = 1024 * 1024;

/** What readers get. */
export const readCases: Readonly<Record<string, Case>> = {
  SmallBlob: async (rig) => {
    const bytes = Buffer.from("foobar");
    const digest = digestOf(bytes);
    await rig.put("small", { bytes, digest });
    await using reader = await rig.store.open(digest);
    rig.t.equal(reader.size, 6);
    rig.t.equal(Buffer.from(await reader.read(0, 7)).toString(), "foobar");
  },

  ReadRanges: async (rig) => {
    const { bytes, digest } = rig.sample(3 * MIB + 17);
    await rig.put("ranges", { bytes, digest });
    await using reader = await rig.store.open(digest);
    const end = bytes.length;
    const ranges = [
      [0, end],
      [0, 1],
      [0, 0],
      [end - 1, 1],
      [end - 1, 100],
      [end, 1],
      [end + 1000, 10],
      [MIB - 1, 2],
      [MIB, MIB],
      [2 * MIB, MIB],
      [3 * MIB, MIB],
      [1, 2 * MIB],
      [0, 2 * end],
    ] as const;
    for (const [offset, length] of ranges) {
      const piece = Buffer.from(await reader.read(offset, length));
      rig.t.ok(piece.equals(bytes.subarray(offset, offset + length)), `${length} bytes from ${offset}`);
    }
    // Side by side, also where one begins at the end of another.
    const pieces = await Promise.all(
      Array.from({ length: 16 }, (_, index) => reader.read(index * 50_000, 50_000)),
    );
    rig.t.ok(Buffer.concat(pieces).equals(bytes.subarray(0, 800_000)), "reads side by side");
  },

  OpenMissing: async (rig) => {
    const { digest } = rig.sample(10);
    await rig.fails("open", "NOT_FOUND", rig.store.open(digest));
    await rig.fails("info", "NOT_FOUND", rig.store.info(digest));
    await rig.fails("delete", "NOT_FOUND", rig.store.delete(digest));
    await rig.fails("an open ingest's digest", "NOT_FOUND", rig.store.open(digestOf(Buffer.from("x"))));
  },

  BadDigests: async (rig) => {
    const bad = [
      "",
      "sha256",
      "sha256:",
      "sha256:00",
      `sha256:${"G".repeat(64)}`,
      `sha256:${"A".repeat(64)}`,
      `md5:${"0".repeat(32)}`,
      `../../${"0".repeat(64)}`,
      `sha256:../../../${"0".repeat(55)}`,
    ] as unknown as Digest[];
    for (const digest of bad) {
      const codes = ["INVALID_ARGUMENT", "NOT_FOUND"] as const;
      await rig.fails(`info of ${digest}`, codes, rig.store.info(digest));
      await rig.fails(`open of ${digest}`, codes, rig.store.open(digest));
      await rig.fails(`delete of ${digest}`, codes, rig.store.delete(digest));
    }
  },

  ReadBesideWrites: async (rig) => {
    const first = rig.sample(200_000);
    await rig.put("first", first);
    await using reader = await rig.store.open(first.digest);
    await rig.put("second", rig.sample(200_000));
    rig.t.ok(Buffer.from(await reader.read(0, 200_000)).equals(first.bytes));
    await reader.close();
    await reader.close();
  },
};
