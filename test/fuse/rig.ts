import { type ChildProcess, execFile, spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";
import {
  loadBinding,
  type Miss,
  mountFuse,
  type NativePlane,
  type Refusal,
  sessionKinds,
  unmountFuse,
} from "../../src/fuse/index.js";
import { encodeUnitTable, type Unit, type UnitCodec, type UnitTable } from "../../src/units/index.js";

export const binding = loadBinding();

/** What a test sees of the plane, and the folder and mount that go with it. */
export interface Rig extends AsyncDisposable {
  readonly plane: NativePlane;
  readonly folder: string;
  readonly mount: string;
  readonly session: number;
  readonly misses: Miss[];
  readonly interrupts: bigint[];
  readonly damaged: { layer: number; unit: number }[];
  readonly refused: Refusal[];
  /** Resolves when `test` holds; asks after each event of the plane. */
  until(test: () => boolean): Promise<void>;
  /** Called for each miss, from its event. */
  onMiss: (miss: Miss) => void;
}

export interface RigOptions {
  readonly waitingReadsMax?: number;
  readonly workerThreads?: number;
  readonly fuseThreads?: number;
}

/** A plane with a flat session on a real mount. */
export async function makeRig(options: RigOptions = {}): Promise<Rig> {
  const folder = mkdtempSync(join(tmpdir(), "lazuli-fuse-"));
  const mount = join(folder, "mount");
  await mkdir(mount);
  const waiters = new Set<() => void>();
  const told = (): void => {
    for (const waiter of [...waiters]) waiter();
  };
  const misses: Miss[] = [];
  const interrupts: bigint[] = [];
  const damaged: { layer: number; unit: number }[] = [];
  const refused: Refusal[] = [];
  const plane = new binding.Plane({
    fuseThreads: options.fuseThreads ?? 2,
    workerThreads: options.workerThreads ?? 2,
    waitingReadsMax: options.waitingReadsMax ?? 64,
    onMiss: (batch) => {
      misses.push(...batch);
      for (const miss of batch) rig.onMiss(miss);
      told();
    },
    onInterrupt: (batch) => {
      interrupts.push(...batch);
      told();
    },
    onDamaged: (batch) => {
      damaged.push(...batch);
      told();
    },
    onRefused: (batch) => {
      refused.push(...batch);
      told();
    },
  });
  const fuseFd = binding.openFuse();
  const session = plane.openSession({ kind: sessionKinds.flat, layer: 0, fuseFd, adopted: false });
  const rig: Rig = {
    plane,
    folder,
    mount,
    session,
    misses,
    interrupts,
    damaged,
    refused,
    onMiss: () => {},
    until: (test) =>
      new Promise((resolve) => {
        const check = (): void => {
          if (!test()) return;
          waiters.delete(check);
          resolve();
        };
        waiters.add(check);
        check();
      }),
    [Symbol.asyncDispose]: async () => {
      plane.close();
      await unmountFuse(binding, mount);
      rmSync(folder, { recursive: true });
    },
  };
  try {
    await mountFuse({ binding, fuseFd, target: mount, kind: sessionKinds.flat });
  } catch (error) {
    plane.close();
    rmSync(folder, { recursive: true });
    throw error;
  }
  return rig;
}

/** A layer made for a test: its bytes, its blob and its table. */
export interface SampleLayer {
  readonly data: Buffer;
  readonly blob: Buffer;
  readonly table: UnitTable;
}

export interface SampleStream {
  readonly codec: UnitCodec;
  /** Decoded bytes of the stream. */
  readonly content: Buffer;
  /** Units in it: [offset in the content, length, offset in the data file]. */
  readonly units: readonly (readonly [number, number, number])[];
  /** The bytes in the blob; made from the content where it is left out. */
  readonly compressed?: Buffer;
}

export function makeSample(streams: readonly SampleStream[], dataSize: number): SampleLayer {
  const data = Buffer.alloc(dataSize);
  const parts: Buffer[] = [];
  const units: Unit[] = [];
  let blobOffset = 0;
  for (const stream of streams) {
    const compressed =
      stream.compressed ?? (stream.codec === "gzip" ? gzipSync(stream.content) : stream.content);
    for (const [innerOffset, dataLength, dataOffset] of stream.units) {
      const bytes = stream.content.subarray(innerOffset, innerOffset + dataLength);
      bytes.copy(data, dataOffset);
      units.push({
        dataOffset,
        dataLength,
        blobOffset,
        blobLength: compressed.length,
        innerOffset,
        sha256: createHash("sha256").update(bytes).digest(),
        codec: stream.codec,
      });
    }
    parts.push(compressed);
    blobOffset += compressed.length;
  }
  const table = encodeUnitTable(units, { dataSize, blobSize: blobOffset, blockSize: 512 });
  return { data, blob: Buffer.concat(parts), table };
}

/** `count` gzip streams of one unit each, one behind the other in the data file. */
export function makeGzipSample(count: number, unitBytes: number): SampleLayer {
  const streams = Array.from({ length: count }, (_, index): SampleStream => {
    const content = Buffer.concat([randomBytes(unitBytes / 2), Buffer.alloc(unitBytes / 2, index)]);
    return { codec: "gzip", content, units: [[0, unitBytes, index * unitBytes]] };
  });
  return makeSample(streams, count * unitBytes);
}

/** Adds the sample as a layer with a data file in the rig's folder; returns the path of that file. */
export function addSample(rig: Rig, number: number, sample: SampleLayer, present?: Uint8Array): string {
  const path = join(rig.folder, `data-${number}`);
  const fd = openSync(path, "w+");
  try {
    ftruncateSync(fd, sample.table.dataSize);
    if (present !== undefined) writeSync(fd, sample.data, 0, sample.data.length, 0);
    rig.plane.addLayer({
      number,
      dataFd: fd,
      units: sample.table.buffer,
      present: present ?? new Uint8Array(Math.ceil(sample.table.count / 8)),
      metaFd: -1,
    });
  } finally {
    closeSync(fd);
  }
  return path;
}

export function allPresent(sample: SampleLayer): Uint8Array {
  return new Uint8Array(Math.ceil(sample.table.count / 8)).fill(0xff);
}

/** Ingests units with the bytes of their streams; the outcomes. */
export async function ingest(
  rig: Rig,
  layer: number,
  sample: SampleLayer,
  range: { firstUnit: number; lastUnit: number; blob?: Buffer },
): Promise<number[]> {
  const blobOffset = sample.table.blobOffset(range.firstUnit);
  const end = sample.table.blobEnd(range.lastUnit);
  const bytes = (range.blob ?? sample.blob).subarray(blobOffset, end);
  const { firstUnit, lastUnit } = range;
  return [...(await rig.plane.ingest({ layer, firstUnit, lastUnit, bytes, blobOffset }))];
}

const execute = promisify(execFile);

export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** The SHA-256 of a file behind the mount, as another process reads it. */
export async function sumFromOutside(path: string): Promise<string> {
  const { stdout } = await execute("sha256sum", [path]);
  return stdout.slice(0, 64);
}

export interface DdOptions {
  readonly offset: number;
  readonly length: number;
  readonly direct?: boolean;
}

/** dd of a part of the file, in another process: its bytes, or its exit code and what it printed. */
export async function dd(
  path: string,
  options: DdOptions,
): Promise<{ code: number; bytes: Buffer; message: string }> {
  const child = startDd(path, options);
  const chunks: Buffer[] = [];
  let message = "";
  child.stdout!.on("data", (chunk: Buffer) => chunks.push(chunk));
  child.stderr!.on("data", (chunk: Buffer) => {
    message += chunk.toString();
  });
  const code = await new Promise<number>((resolve) => child.on("close", (status) => resolve(status ?? -1)));
  return { code, bytes: Buffer.concat(chunks), message };
}

export function startDd(path: string, { offset, length, direct = false }: DdOptions): ChildProcess {
  const flags = direct ? "skip_bytes,direct" : "skip_bytes";
  return spawn("dd", [
    `if=${path}`,
    `bs=${length}`,
    "count=1",
    `skip=${offset}`,
    `iflag=${flags}`,
    "status=none",
  ]);
}
