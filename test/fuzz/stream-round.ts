import { gunzipSync } from "node:zlib";
import { ungzip } from "pako";
import { encodeUnitTable, readSpans, type Unit, unitsOfSpans, WINDOW_SIZE } from "../../src/units/index.js";
import { Random } from "../../testing/crash/random.js";
import { indexStream } from "../fuse/index-stream.js";
import { sha256 } from "../fuse/rig.js";
import { inflate } from "../soci/inflate.js";
import { isStored, type SpanPlane } from "./span-plane.js";
import { fuzzStream } from "./stream-input.js";
import { decodeFrames } from "./zstd-frames.js";
import { ztocRound } from "./ztoc-round.js";

const DATA_MAX = 4 << 20;
const WINDOWED_SPAN = 1000;

export interface StreamRoundOptions {
  readonly seed: number;
  readonly round: number;
  readonly plane: SpanPlane;
}

export interface StreamRoundResult {
  /** What is wrong with our code; undefined if nothing is. */
  readonly finding: string | undefined;
  readonly isAccepted: boolean;
  /** Spans that were decoded from their checkpoints. */
  readonly spans: number;
}

interface Indexed {
  readonly data: Buffer;
  readonly spans: Buffer;
  readonly windows: Buffer;
}

/** One mutant of a gzip or zstd stream, or of a zTOC, by us and by others. */
export async function streamRound({ seed, round, plane }: StreamRoundOptions): Promise<StreamRoundResult> {
  const random = new Random(Math.imul(seed, 1_000_003) + round);
  const kind = random.below(10);
  if (kind < 3) return await ztocRound(random, plane);
  const codec = kind < 7 ? "gzip" : "zstd";
  const blob = fuzzStream(codec, random);
  const pieceBytes = random.chance(50) ? 1 + random.below(300) : 65_536;
  const spanSizeBytes = random.chance(50) ? WINDOWED_SPAN : 1000 + random.below(20_000);
  const ours = await indexed(blob, { codec, pieceBytes, spanSizeBytes });
  const finding = await differs(codec, blob, ours);
  if (finding !== undefined || typeof ours === "string") {
    return { finding, isAccepted: typeof ours !== "string", spans: 0 };
  }
  return { isAccepted: true, ...(await spansRound({ codec, blob, ours, plane, random })) };
}

async function indexed(
  blob: Buffer,
  options: { codec: "gzip" | "zstd"; pieceBytes: number; spanSizeBytes: number },
): Promise<Indexed | string> {
  try {
    return await indexStream(blob, { ...options, dataSizeMax: DATA_MAX });
  } catch (thrown) {
    const { code, reason } = thrown as { code?: string; reason?: string };
    if (code !== "ERR_STREAM" || reason === undefined) throw thrown;
    return reason;
  }
}

async function differs(
  codec: "gzip" | "zstd",
  blob: Buffer,
  ours: Indexed | string,
): Promise<string | undefined> {
  if (ours === "stream-too-large") return undefined;
  const others = codec === "zstd" ? { frames: await decodeFrames(blob, DATA_MAX) } : decodeGzip(blob);
  for (const [name, theirs] of Object.entries(others)) {
    if (typeof ours !== "string") {
      if (theirs === undefined) return `we take a ${codec} stream that ${name} refuses`;
      if (!theirs.equals(ours.data)) return `${name} makes other bytes of a ${codec} stream`;
      // Both programs take what stands behind the last member, if it begins with a zero, for padding.
    } else if (theirs !== undefined && !(codec === "gzip" && ours === "stream-trailing-garbage")) {
      return `we refuse (${ours}) a ${codec} stream that ${name} takes`;
    }
  }
  return undefined;
}

function decodeGzip(blob: Buffer): Readonly<Record<string, Buffer | undefined>> {
  const node = tried(() => gunzipSync(blob, { maxOutputLength: DATA_MAX }));
  // pako takes zlib's own format, too.
  const isGzip = blob.length > 2 && blob[0] === 0x1f && blob[1] === 0x8b;
  return isGzip ? { node, pako: tried(() => Buffer.from(ungzip(blob))) } : { node };
}

function tried(decode: () => Buffer): Buffer | undefined {
  try {
    return decode();
  } catch {
    // A refusal, as good as any other.
    return undefined;
  }
}

interface SpansOptions {
  readonly codec: "gzip" | "zstd";
  readonly blob: Buffer;
  readonly ours: Indexed;
  readonly plane: SpanPlane;
  readonly random: Random;
}

/** Each span from its checkpoint must be what stands there; one that is damaged must be refused, or be what it says. */
async function spansRound(options: SpansOptions): Promise<Pick<StreamRoundResult, "finding" | "spans">> {
  const { codec, blob, ours, plane, random } = options;
  const { units, windows } = unitsOfSpans({
    codec,
    spans: readSpans(ours.spans),
    windows: Buffer.from(ours.windows),
  });
  const facts = { dataSize: ours.data.length, blobSize: blob.length, blockSize: 512 } as const;
  const good = await plane.ingest(encodeUnitTable(units, { ...facts, windows }), windows, blob);
  const wrong = good.outcomes.findIndex((outcome) => !isStored(outcome));
  if (wrong >= 0) return { finding: `span ${wrong} of ${units.length} is ${good.outcomes[wrong]}`, spans: 0 };
  if (!good.data.equals(ours.data)) return { finding: "the spans are other bytes than the whole", spans: 0 };
  if (codec === "gzip" && units.length > 0) {
    const finding = await damagedSpans({ units, windows, facts, blob, plane, random });
    return { finding, spans: units.length * 2 };
  }
  return { finding: undefined, spans: units.length };
}

interface DamagedOptions {
  readonly units: readonly Unit[];
  readonly windows: Buffer;
  readonly facts: { readonly dataSize: number; readonly blobSize: number; readonly blockSize: 512 };
  readonly blob: Buffer;
  readonly plane: SpanPlane;
  readonly random: Random;
}

/** A zTOC's author chooses digests, bits and windows: a span of lies is refused, or decodes as another inflate has it. */
async function damagedSpans(options: DamagedOptions): Promise<string | undefined> {
  const { units, facts, plane, random } = options;
  const blob = Buffer.from(options.blob);
  const windows = Buffer.from(options.windows);
  for (let change = 0; change < 3; change += 1) {
    blob[random.below(blob.length)]! ^= 1 << random.below(8);
    windows[random.below(windows.length)]! ^= 1 << random.below(8);
  }
  const lies = units.map(
    (unit): Unit => ({
      ...unit,
      innerOffset: random.chance(10) ? random.below(8) : unit.innerOffset,
      sha256: Buffer.from(sha256(blob.subarray(unit.blobOffset, unit.blobOffset + unit.blobLength)), "hex"),
      digestOf: "blob",
    }),
  );
  const { outcomes, data } = await plane.ingest(encodeUnitTable(lies, { ...facts, windows }), windows, blob);
  for (const [index, unit] of lies.entries()) {
    if (!isStored(outcomes[index])) continue;
    const window = windows.subarray(index * WINDOW_SIZE, (index + 1) * WINDOW_SIZE);
    const seen = data.subarray(unit.dataOffset, unit.dataOffset + unit.dataLength);
    const wanted = inflatedSpan(unit, blob, window);
    if (wanted === undefined) return `span ${index} of lies was taken, another inflate refuses it`;
    // Behind the end of a member the other one does not go on.
    if (!seen.subarray(0, wanted.length).equals(wanted)) return `span ${index} of lies has other bytes`;
  }
  return undefined;
}

function inflatedSpan(unit: Unit, blob: Buffer, window: Buffer): Buffer | undefined {
  try {
    return inflate({
      bytes: blob.subarray(unit.blobOffset, unit.blobOffset + unit.blobLength),
      startBit: (8 - unit.innerOffset) & 7,
      window,
      length: unit.dataLength,
    }).data;
  } catch {
    // A refusal, as good as any other.
    return undefined;
  }
}
