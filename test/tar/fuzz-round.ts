import { bytesOfBuffer } from "../../src/bytes/index.js";
import { writeErofs } from "../../src/erofs/index.js";
import { LazuliError } from "../../src/errors/index.js";
import { type compileTar, readTar, type TarEntry, TarReader } from "../../src/tar/index.js";
import { Random } from "../../testing/crash/random.js";
import type { Unpacker } from "../../testing/tar/index.js";
import { compiled } from "./compiled.js";
import { fuzzInput } from "./fuzz-input.js";
import { listBoth } from "./same-listing.js";
import { difference, isBeyondOracle, readWithOracle } from "./tar-stream-oracle.js";

const BLOCK = 512;

export interface RoundOptions {
  readonly seed: number;
  readonly round: number;
  /** Compares with a containerd's unpack, too: some milliseconds a round. */
  readonly unpacker?: Unpacker;
}

export interface RoundResult {
  /** What is wrong with our reader; undefined if nothing is. */
  readonly finding: string | undefined;
  readonly isAccepted: boolean;
  /** Entries that were compared with tar-stream's. */
  readonly compared: number;
}

interface Reading {
  readonly entries: readonly TarEntry[];
  readonly error: LazuliError | undefined;
}

/** Reads one mutant in all ways and compares. */
export async function fuzzRound(options: RoundOptions): Promise<RoundResult> {
  const tar = fuzzInput(options.seed, options.round);
  const reading = await readAtRandom(tar);
  const result = (finding: string | undefined, compared = 0): RoundResult => ({
    finding,
    isAccepted: reading.error === undefined,
    compared,
  });
  const streamed = readAsStream(tar, new Random(options.round));
  if (textOf(streamed) !== textOf(reading)) {
    return result(`the stream gives ${textOf(streamed)}, random access ${textOf(reading)}`);
  }
  const { finding, compared } = await compareWithOracle(tar, reading);
  if (finding !== undefined) return result(finding, compared);
  const wrong = await compileBoth(tar, options.unpacker);
  return result(wrong, compared);
}

async function readAtRandom(tar: Buffer): Promise<Reading> {
  const entries: TarEntry[] = [];
  const read = async ({ offset, length }: { offset: number; length: number }): Promise<Buffer> =>
    tar.subarray(offset, offset + length);
  try {
    for await (const entry of readTar({ size: tar.length, read })) entries.push(entry);
    return { entries, error: undefined };
  } catch (error) {
    if (!(error instanceof LazuliError)) throw error;
    return { entries, error };
  }
}

function readAsStream(tar: Buffer, random: Random): Reading {
  const reader = new TarReader();
  const entries: TarEntry[] = [];
  try {
    for (let at = 0; at < tar.length; ) {
      const length = 1 + random.below(2000);
      for (const event of reader.push(tar.subarray(at, at + length))) {
        if (event.kind === "entry") entries.push(event.entry);
      }
      at += length;
    }
    reader.end();
    return { entries, error: undefined };
  } catch (error) {
    if (!(error instanceof LazuliError)) throw error;
    return { entries, error };
  }
}

function textOf({ entries, error }: Reading): string {
  const show = (_: string, value: unknown): unknown => (typeof value === "bigint" ? String(value) : value);
  return JSON.stringify([entries, error?.message], show);
}

/**
 * The entries up to our end, or our refusal, must be tar-stream's as well. That we refuse what tar-stream takes says
 * nothing: it passes over malformed numbers and PAX records in silence.
 */
async function compareWithOracle(
  tar: Buffer,
  { entries }: Reading,
): Promise<{ finding: string | undefined; compared: number }> {
  const beyond = entries.findIndex((entry) => isBeyondOracle(tar, entry));
  const comparable = beyond < 0 ? entries : entries.slice(0, beyond);
  const last = comparable.at(-1);
  if (last === undefined) return { finding: undefined, compared: 0 };
  const contentEnd = last.dataOffset + last.packedSize;
  if (contentEnd > tar.length) return { finding: undefined, compared: 0 };
  // A missing padding is no error for us and one for tar-stream.
  const head = Buffer.alloc(Math.ceil(contentEnd / BLOCK) * BLOCK);
  tar.copy(head);
  const oracle = await readWithOracle(head);
  for (const [index, entry] of comparable.entries()) {
    const seen = oracle.entries[index];
    const name = JSON.stringify(bytesOfBuffer(Buffer.from(entry.name, "latin1")));
    if (seen === undefined) {
      return {
        finding: `tar-stream does not read entry ${index} ${name}: ${oracle.error?.message}`,
        compared: index,
      };
    }
    const found = difference(entry, seen, tar);
    if (found !== undefined) return { finding: `entry ${index} ${name}: ${found}`, compared: index };
  }
  return { finding: undefined, compared: comparable.length };
}

/** What is wrong with the tree, if one is made: no image can be written of it, or containerd makes another one. */
async function compileBoth(tar: Buffer, unpacker: Unpacker | undefined): Promise<string | undefined> {
  let result: Awaited<ReturnType<typeof compileTar>> | undefined;
  let refusal: LazuliError | undefined;
  try {
    result = await compiled(tar);
    writeErofs({ root: result.root, blockSize: BLOCK, dataSize: result.dataSize });
  } catch (error) {
    if (!(error instanceof LazuliError)) throw error;
    refusal = error;
  }
  if (unpacker === undefined || refusal !== undefined || result === undefined) return undefined;
  const unpacked = await unpacker.unpack(tar);
  if ("error" in unpacked) return `containerd refuses what we take: ${unpacked.error}`;
  const { seen, wanted } = listBoth(tar, result, unpacked.folder);
  for (const path of new Set([...seen.keys(), ...wanted.keys()])) {
    if (seen.get(path) !== wanted.get(path)) {
      return `containerd has ${JSON.stringify(path)} as ${wanted.get(path)}, we as ${seen.get(path)}`;
    }
  }
  return undefined;
}
