import { execFile } from "node:child_process";
import { open, rename, rm, stat } from "node:fs/promises";
import { basename } from "node:path";
import { promisify } from "node:util";
import { invalidArgument, LazuliError } from "../errors/index.js";
import { insideRoots } from "./inside-roots.js";
import type { TransformOptions } from "./make-folders.js";
import type { MountSpec } from "./mount-spec.js";

const run = promisify(execFile);

const PREFIX = "X-containerd.mkfs.";
const FILE_MODE = 0o640;
/** For mkfs of the largest images. */
const PROGRAM_TIMEOUT_MS = 300_000;
const PROGRAM_OUTPUT_BYTES_MAX = 64 * 1024;
const UNITS = "kmgtp";
const fileSystems: ReadonlySet<string> = new Set(["ext2", "ext3", "ext4", "xfs"]);

interface WantedImage {
  readonly sizeBytes: number;
  readonly fileSystem: string;
  readonly uuid: string | undefined;
}

/**
 * `mkfs/`: makes a file system in the file `source` by `X-containerd.mkfs.{size,fs,uuid}=`, unless the file is there, and
 * takes these options away. @throws INVALID_ARGUMENT; FAILED_PRECONDITION; UNKNOWN `mkfs-failed` with what mkfs said
 */
export async function makeFileSystem(spec: MountSpec, options: TransformOptions): Promise<MountSpec> {
  const path = await insideRoots({ ...options, path: spec.source, what: "mkfs" });
  const wanted = wantedImage(spec);
  const isThere = await stat(path).then(
    () => true,
    (thrown: NodeJS.ErrnoException) => {
      if (thrown.code === "ENOENT") return false;
      throw thrown;
    },
  );
  if (!isThere) await makeImage(path, wanted, options.signal);
  return { ...spec, options: spec.options.filter((option) => !option.startsWith(PREFIX)) };
}

function wantedImage(spec: MountSpec): WantedImage {
  const invalid = (message: string): LazuliError =>
    invalidArgument(message, { subject: spec.source, reason: "mount-options-invalid" });
  let sizeBytes = 0;
  let fileSystem = "ext4";
  let uuid: string | undefined;
  for (const option of spec.options.filter((text) => text.startsWith(PREFIX))) {
    const [key = "", value = ""] = option.slice(PREFIX.length).split(/=(.*)/s, 2);
    if (key === "size") {
      const size = bytesOf(value);
      if (size === undefined) throw invalid(`bad option size: invalid size: '${value}'`);
      sizeBytes = size;
    } else if (key === "fs") fileSystem = value;
    else if (key === "uuid") {
      if (!/^[0-9a-fA-F-]{1,36}$/.test(value)) throw invalid(`bad option uuid: invalid uuid: '${value}'`);
      uuid = value;
    } else throw invalid(`unknown mount option ${key}`);
  }
  if (sizeBytes === 0) throw invalid("mkfs requires mkfs.size option");
  if (!fileSystems.has(fileSystem)) throw invalid(`unsupported filesystem ${JSON.stringify(fileSystem)}`);
  return { sizeBytes, fileSystem, uuid };
}

/** `100MiB`, `1g`, `1.5 GB`: all of them of 1024. */
function bytesOf(text: string): number | undefined {
  const match = /^(\d{1,16}(?:\.\d{1,9})?) ?([kmgtp]?)i?b?$/i.exec(text);
  if (match === null) return undefined;
  const power = match[2] === "" ? 0 : UNITS.indexOf(match[2]!.toLowerCase()) + 1;
  const bytes = Math.floor(Number(match[1]) * 1024 ** power);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** Under another name first: a file of this name has a whole file system. */
async function makeImage(
  path: string,
  { sizeBytes, fileSystem, uuid }: WantedImage,
  signal: AbortSignal | undefined,
): Promise<void> {
  const temporary = `${path}.new`;
  const ids = uuid === undefined ? [] : fileSystem === "xfs" ? ["-m", `uuid=${uuid}`] : ["-U", uuid];
  try {
    const file = await open(temporary, "w", FILE_MODE);
    try {
      await file.truncate(sizeBytes);
    } finally {
      await file.close();
    }
    await runProgram(`mkfs.${fileSystem}`, ["-q", ...ids, temporary], signal);
    await rename(temporary, path);
  } catch (thrown) {
    await rm(temporary, { force: true });
    throw thrown;
  }
}

async function runProgram(
  program: string,
  args: readonly string[],
  signal: AbortSignal | undefined,
): Promise<void> {
  try {
    await run(program, args, {
      ...(signal === undefined ? {} : { signal }),
      timeout: PROGRAM_TIMEOUT_MS,
      killSignal: "SIGKILL",
      maxBuffer: PROGRAM_OUTPUT_BYTES_MAX,
    });
  } catch (thrown) {
    signal?.throwIfAborted();
    const { message, stdout = "", stderr = "" } = thrown as Error & { stdout?: string; stderr?: string };
    const path = args.at(-1)!.replace(/\.new$/, "");
    const said = `${stdout}${stderr}`.trim();
    throw new LazuliError(
      "UNKNOWN",
      `failed format ${JSON.stringify(path)}: ${program} failed: ${said === "" ? message : said}`,
      {
        subject: basename(path),
        reason: "mkfs-failed",
        cause: thrown,
        hint: `See that ${program} is installed where the daemon's PATH leads`,
      },
    );
  }
}
