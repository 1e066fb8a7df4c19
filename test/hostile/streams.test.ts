import { spawnSync } from "node:child_process";
import { gunzipSync, gzipSync } from "node:zlib";
import t from "tap";
import { readSpans } from "../../src/units/index.js";
import { recordCounts } from "../../testing/counts/index.js";
import { zstd } from "../../testing/zstdchunked-builder.js";
import { indexStream } from "../fuse/index-stream.js";
import { prose } from "../soci/sample-layer.js";
import { bounded } from "./growth.js";
import type { StreamCase } from "./streams-case.js";
import { deflateCases } from "./streams-deflate-cases.js";
import { gzipBombCases, gzipHeaderCases, gzipMemberCases, gzipTrailerCases } from "./streams-gzip-cases.js";
import {
  rawCases,
  zstdBlockCases,
  zstdBombCases,
  zstdFrameCases,
  zstdSizeCases,
  zstdTrailerCases,
} from "./streams-zstd-cases.js";

t.setTimeout(0);

const sets: Readonly<Record<string, readonly StreamCase[]>> = {
  "gzip: headers": gzipHeaderCases,
  "gzip: trailers": gzipTrailerCases,
  "gzip: members": gzipMemberCases,
  "gzip: bombs": gzipBombCases,
  "gzip: blocks and codes": deflateCases,
  "zstd: frames": zstdFrameCases,
  "zstd: content sizes": zstdSizeCases,
  "zstd: blocks": zstdBlockCases,
  "zstd: ends": zstdTrailerCases,
  "zstd: bombs": zstdBombCases,
  raw: rawCases,
};
const LEAST = 220;
/** A blob of at most so many bytes is also given byte by byte. */
const SMALL = 3000;
const OUTPUT_MAX = 64 << 20;

interface Verdict {
  readonly data?: Buffer;
  readonly reason?: string;
}

async function verdictOf({ codec, blob, dataSizeMax }: StreamCase, pieceBytes: number): Promise<Verdict> {
  try {
    const { data, dataSize, spans } = await indexStream(blob, {
      codec,
      pieceBytes,
      ...(dataSizeMax === undefined ? {} : { dataSizeMax }),
    });
    const last = readSpans(spans).at(-1);
    const end = last === undefined ? 0 : last.dataOffset + last.dataLength;
    return data.length === dataSize && end === dataSize
      ? { data }
      : { reason: "spans that are not the data" };
  } catch (thrown) {
    const { code, reason } = thrown as { code?: string; reason?: string };
    if (code !== "ERR_STREAM" || reason === undefined) throw thrown;
    return { reason };
  }
}

/** What the format's own program makes of a blob; undefined where it refuses it. */
function oracle({ codec, blob }: StreamCase): Buffer | undefined {
  if (codec === "raw") return blob;
  if (codec === "zstd") {
    const { status, stdout } = spawnSync("zstd", ["-dc"], { input: blob, maxBuffer: OUTPUT_MAX });
    return status === 0 ? stdout : undefined;
  }
  try {
    return gunzipSync(blob, { maxOutputLength: OUTPUT_MAX });
  } catch {
    // It refuses the blob.
    return undefined;
  }
}

function isSame(one: Buffer | undefined, other: Buffer | undefined): boolean {
  return one === undefined || other === undefined ? one === other : one.equals(other);
}

for (const [set, cases] of Object.entries(sets)) {
  t.test(`StreamIndexer gives each stream its verdict: ${set}`, async (t) => {
    for (const one of cases) {
      const { name, blob, data, reason, otherwise } = one;
      const seen = await bounded(t, name, () => verdictOf(one, 65_536));
      t.equal(seen.reason, reason, `${name}: verdict`);
      t.ok(isSame(seen.data, data), `${name}: bytes`);
      const pieced = await verdictOf(one, blob.length <= SMALL ? 1 : 997);
      t.equal(pieced.reason, reason, `${name}: verdict, whatever the pieces are`);
      t.ok(isSame(pieced.data, data), `${name}: bytes, whatever the pieces are`);
      const agrees = isSame(oracle(one), data);
      if (codecIsRefused(one) || data !== undefined) {
        t.equal(agrees, otherwise === undefined, `${name}: the format's program ${otherwise ?? "agrees"}`);
      }
    }
    t.equal(new Set(cases.map(({ name }) => name)).size, cases.length, "each case has a name of its own");
  });
}

/** Where the limit is ours, no program says it. */
function codecIsRefused({ codec, reason }: StreamCase): boolean {
  return codec !== "raw" && reason !== undefined && reason !== "stream-too-large";
}

t.test("the set is as large as it should be", async (t) => {
  const count = Object.values(sets).flat().length;
  t.ok(count >= LEAST, `${count} named cases`);
  t.comment(`${count} named cases`);
  await recordCounts({
    name: "hostile-streams",
    what: "Hostile gzip and zstd streams, and bombs",
    figures: { cases: count },
  });
});

t.test("StreamIndexer refuses a stream that is cut anywhere", async (t) => {
  const text = prose(700, 5);
  const [first, second] = [prose(300, 6), prose(300, 7)];
  const samples = [
    { codec: "gzip", name: "one member", parts: [gzipSync(text)] },
    { codec: "gzip", name: "two members", parts: [gzipSync(first), gzipSync(second)] },
    { codec: "zstd", name: "one frame", parts: [await zstd(text)] },
    { codec: "zstd", name: "two frames", parts: [await zstd(first), await zstd(second)] },
  ] as const;
  for (const { codec, name, parts } of samples) {
    const blob = Buffer.concat(parts);
    for (let size = 0; size < blob.length; size += 1) {
      const { reason } = await verdictOf({ name, codec, blob: blob.subarray(0, size) }, 65_536);
      const wanted = size === parts[0].length ? undefined : "stream-truncated";
      if (reason !== wanted) t.fail(`${name}, ${size} of ${blob.length} bytes: ${reason}`);
    }
    t.pass(`${name}: ${blob.length} cuts`);
  }
});

t.test("StreamIndexer finds any changed byte of a small stream, or it changes nothing", async (t) => {
  const text = prose(500, 8);
  for (const [codec, blob] of [
    ["gzip", gzipSync(text)],
    ["zstd", await zstd(text)],
  ] as const) {
    let taken = 0;
    for (let at = 0; at < blob.length; at += 1) {
      for (const flip of [0x01, 0x80, 0xff]) {
        const changed = Buffer.from(blob);
        changed[at]! ^= flip;
        const { data, reason } = await verdictOf({ name: "", codec, blob: changed }, 65_536);
        if (reason !== undefined) continue;
        taken += 1;
        if (data?.equals(text) !== true) t.fail(`${codec}: byte ${at} ^ ${flip} makes other bytes`);
      }
    }
    t.comment(`${codec}: ${taken} changes of ${blob.length * 3} are of no account`);
    t.ok(taken < blob.length, `${codec}: few changes are of no account`);
  }
});
