import { sha256 } from "../../src/bytes/index.js";
import { writeErofs } from "../../src/erofs/index.js";
import { LazuliError } from "../../src/errors/index.js";
import { type CompiledZtoc, compileZtoc, encodeZtoc } from "../../src/soci/index.js";
import { walkTree } from "../../src/tree/index.js";
import { encodeUnitTable } from "../../src/units/index.js";
import type { Random } from "../../testing/crash/random.js";
import { factsOf, layer, plainLayer } from "../hostile/soci-case.js";
import { isStored, type SpanPlane } from "./span-plane.js";
import type { StreamRoundResult } from "./stream-round.js";

const HEADER = 12;
const STRIDE = 32_785;
const BLOCK = 512;
const WORDS = [0, 1, 2, 7, 8, 0x7f, 0x80, 0xff, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, 0xffff_ffff];

/** One mutant of a zTOC. What is taken must lie inside, and be nothing that the writer of the image or the plane refuses. */
export async function ztocRound(random: Random, plane: SpanPlane): Promise<StreamRoundResult> {
  const built = random.chance(75) ? layer : plainLayer;
  const ztoc = mutant(built, random);
  let compiled: CompiledZtoc;
  try {
    compiled = compileZtoc({ ztoc, digest: sha256(ztoc), blobSize: built.blob.length });
  } catch (thrown) {
    if (!(thrown instanceof LazuliError)) throw thrown;
    return { finding: undefined, isAccepted: false, spans: 0 };
  }
  const { units, windows, dataSize, root } = compiled;
  const outside = leadsOutside(compiled);
  if (outside !== undefined) return { finding: outside, isAccepted: true, spans: 0 };
  try {
    writeErofs({ root, blockSize: BLOCK, dataSize });
  } catch (thrown) {
    if (!(thrown instanceof LazuliError)) throw thrown;
  }
  const facts = { dataSize, blobSize: built.blob.length, blockSize: BLOCK } as const;
  const { outcomes, data } = await plane.ingest(
    encodeUnitTable(units, { ...facts, windows }),
    windows,
    built.blob,
  );
  const isUnchanged = ztoc.equals(built.ztoc);
  const isWhole = outcomes.every(isStored) && data.equals(built.tar);
  const finding = isUnchanged && !isWhole ? "a good zTOC does not give the archive" : undefined;
  return { finding, isAccepted: true, spans: units.length };
}

function mutant(built: typeof layer, random: Random): Buffer {
  if (random.chance(2)) return Buffer.from(built.ztoc);
  if (built === layer && random.chance(40)) {
    const zinfo = Buffer.from(built.zinfo);
    for (let changes = 1 + random.below(3); changes > 0; changes -= 1) changeZinfo(zinfo, random);
    return encodeZtoc({ ...factsOf(built), zinfo });
  }
  let ztoc = Buffer.from(built.ztoc);
  const start = ztoc.indexOf(built.zinfo.subarray(0, 40));
  for (let changes = 1 + random.below(4); changes > 0; changes -= 1) {
    // The windows are most of the bytes, and each of theirs is as good as another.
    const isBehind = start < 0 || random.chance(50);
    const end = start < 0 ? ztoc.length : start;
    const at = isBehind && start >= 0 ? start + built.zinfo.length + random.below(500) : random.below(end);
    if (at + 4 > ztoc.length) continue;
    if (random.chance(50)) ztoc[at]! ^= 1 << random.below(8);
    else ztoc.writeUInt32LE(random.pick(WORDS)!, at);
    if (random.chance(3)) ztoc = ztoc.subarray(0, at);
  }
  return ztoc;
}

/** A bit, or an eighth byte of a number, of the header or of a checkpoint. */
function changeZinfo(zinfo: Buffer, random: Random): void {
  const checkpoints = Math.floor((zinfo.length - HEADER) / STRIDE);
  const at = random.chance(25)
    ? random.below(HEADER)
    : HEADER + random.below(checkpoints) * STRIDE + random.below(17);
  if (random.chance(50)) zinfo[at]! ^= 1 << random.below(8);
  else if (at + 4 <= zinfo.length) zinfo.writeUInt32LE(random.pick(WORDS)!, at);
}

function leadsOutside({ root, dataSize }: CompiledZtoc): string | undefined {
  for (const { node } of walkTree(root)) {
    if (node.kind !== "file" || node.size === 0n) continue;
    const start = node.dataOffset ?? -1n;
    const isInside =
      start >= BigInt(BLOCK) && start % BigInt(BLOCK) === 0n && start + node.size <= BigInt(dataSize);
    if (!isInside) return `a file lies at ${start}, ${node.size} bytes, of ${dataSize}`;
  }
  return undefined;
}
