import { readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { FileStep, NativeBinding } from "../fuse/index.js";
import type { IngestStatus } from "./contract.js";
import { isMissing, openFile } from "./local-files.js";

/** The facts of an ingest that lie beside its data. */
export interface IngestFacts {
  readonly ref: string;
  /** Expected bytes; 0: unknown. */
  readonly total: number;
  readonly startedAt: bigint;
  readonly updatedAt: bigint;
}

const NANOSECONDS = 1_000_000_000n;
const FACT_BYTES_MAX = 64 * 1024;

const factFiles = ["ref", "startedat", "updatedat", "total"];

/** Several changes of the file system in one go off the JS thread. */
export type TakeFileSteps = NativeBinding["fileSteps"];

/** Makes the folder of a new ingest. @returns whether there was none */
export async function createIngestFolder(options: {
  readonly folder: string;
  readonly facts: IngestFacts;
  readonly fileSteps: TakeFileSteps;
}): Promise<boolean> {
  const { folder, facts, fileSteps } = options;
  const write = (name: string, text: string): FileStep => ({
    kind: "writeFile",
    path: join(folder, name),
    mode: 0o644,
    bytes: Buffer.from(text),
  });
  try {
    // Without `updatedat` the ingest was updated when it was started.
    await fileSteps([
      { kind: "makeFolder", path: folder, mode: 0o755 },
      write("ref", facts.ref),
      write("startedat", timeText(facts.startedAt)),
      ...(facts.total > 0 ? [write("total", String(facts.total))] : []),
    ]);
  } catch (thrown) {
    const { code, syscall } = thrown as NodeJS.ErrnoException;
    if (code === "EEXIST" && syscall === "mkdir") return false;
    throw thrown;
  }
  return true;
}

/** Takes away what is left of an ingest whose data became a blob. */
export async function removeCommittedIngest(folder: string, fileSteps: TakeFileSteps): Promise<void> {
  const removals = factFiles.map((name) => ({ kind: "unlink", path: join(folder, name) }) as const);
  await fileSteps([...removals, { kind: "removeFolder", path: folder }]).catch(
    async (thrown: NodeJS.ErrnoException) => {
      if (thrown.code !== "ENOTEMPTY") throw thrown;
      await removeIngestFolder(folder);
    },
  );
}

export async function noteUpdated(folder: string, updatedAt: bigint): Promise<void> {
  await writeFile(join(folder, "updatedat"), timeText(updatedAt));
}

/** The facts of an ingest folder; undefined when there is none, or when it is not whole. */
export async function readIngestFacts(folder: string): Promise<IngestFacts | undefined> {
  try {
    const ref = await readText(join(folder, "ref"));
    const startedAt = parseTime(await readText(join(folder, "startedat")));
    const updatedAt = parseTime(await readText(join(folder, "updatedat")).catch(() => ""));
    const total = Number(
      await readText(join(folder, "total")).catch((thrown: unknown) => {
        if (isMissing(thrown)) return "0";
        throw thrown;
      }),
    );
    if (startedAt === undefined || !Number.isSafeInteger(total) || total < 0) return undefined;
    return { ref, total, startedAt, updatedAt: updatedAt ?? startedAt };
  } catch (thrown) {
    if (isMissing(thrown) || ["ENOTDIR", "ELOOP"].includes(codeOf(thrown))) return undefined;
    throw thrown;
  }
}

function codeOf(thrown: unknown): string {
  return (thrown as NodeJS.ErrnoException).code ?? "";
}

/** Status of an ingest that nobody writes. */
export async function ingestStatus(folder: string): Promise<IngestStatus | undefined> {
  const facts = await readIngestFacts(folder);
  if (facts === undefined) return undefined;
  const data = await stat(join(folder, "data"), { bigint: true }).catch((thrown: unknown) => {
    if (isMissing(thrown)) return undefined;
    throw thrown;
  });
  const changedAt = data?.mtimeNs ?? 0n;
  const updatedAt = changedAt > facts.updatedAt ? changedAt : facts.updatedAt;
  return { ...facts, offset: Number(data?.size ?? 0n), updatedAt, expected: undefined };
}

export async function removeIngestFolder(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
}

async function readText(path: string): Promise<string> {
  const handle = await openFile(path);
  if (handle === undefined) return "";
  try {
    const { size } = await handle.stat();
    if (size > FACT_BYTES_MAX) return "";
    return await readFile(handle, "utf8");
  } finally {
    await handle.close();
  }
}

/** RFC 3339 with nanoseconds, as Go's time.MarshalText writes it. */
function timeText(at: bigint): string {
  const seconds = new Date(Number(at / NANOSECONDS) * 1000).toISOString().slice(0, 19);
  return `${seconds}.${(at % NANOSECONDS).toString().padStart(9, "0")}Z`;
}

const TIME = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)$/;

function parseTime(text: string): bigint | undefined {
  const match = TIME.exec(text);
  if (match === null) return undefined;
  const milliseconds = Date.parse(`${match[1]}${match[3]}`);
  if (Number.isNaN(milliseconds)) return undefined;
  return BigInt(milliseconds) * 1_000_000n + BigInt((match[2] ?? "").padEnd(9, "0"));
}
