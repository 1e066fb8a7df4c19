import { extract, type Header } from "tar-stream";
import type { TarEntry } from "../../src/tar/index.js";

const BLOCK = 512;
/** tar-stream waits for ever for the contents of a directory with a size: then it has no say. */
const STUCK_MS = 10_000;

export interface OracleResult {
  readonly entries: readonly { readonly header: Header; readonly content: Buffer }[];
  readonly error: Error | undefined;
}

/** What tar-stream reads of an archive, up to its first error. */
export async function readWithOracle(tar: Buffer): Promise<OracleResult> {
  const entries: { header: Header; content: Buffer }[] = [];
  const reader = extract({ allowUnknownFormat: true } as never);
  const finished = new Promise<Error | undefined>((resolve) => {
    reader.on("entry", (header, stream, next) => {
      const pieces: Buffer[] = [];
      stream.on("data", (piece) => pieces.push(piece as Buffer));
      stream.on("error", () => undefined);
      stream.on("end", () => {
        entries.push({ header: { ...header }, content: Buffer.concat(pieces) });
        next();
      });
    });
    reader.on("error", (error) => resolve(error));
    reader.on("finish", () => resolve(undefined));
    reader.on("close", () => resolve(undefined));
  });
  reader.end(tar);
  const { promise: stuck, stop } = stuckAfter(STUCK_MS);
  try {
    return { entries, error: await Promise.race([finished, stuck]) };
  } finally {
    stop();
  }
}

function stuckAfter(timeoutMs: number): { promise: Promise<Error>; stop: () => void } {
  let timer: NodeJS.Timeout | undefined;
  const promise = new Promise<Error>((resolve) => {
    timer = setTimeout(() => resolve(new Error("tar-stream does not come to an end")), timeoutMs);
  });
  return { promise, stop: () => clearTimeout(timer) };
}

const kinds: Readonly<Record<string, string>> = {
  file: "file",
  link: "hardlink",
  symlink: "symlink",
  "character-device": "character",
  "block-device": "block",
  directory: "directory",
  fifo: "fifo",
};

/**
 * Where tar-stream is known to read something else than Go, so that nothing behind it can be compared: it applies
 * global headers to later entries, knows no sparse files, lets PAX win over GNU's long names, reads contents of types
 * that have none, reads "N" as a long name, and takes other numbers for bytes that are no octal.
 */
export function isBeyondOracle(tar: Buffer, entry: TarEntry): boolean {
  if (entry.kind === "global" || entry.sparse !== undefined || entry.typeFlag === "S") return true;
  if (entry.typeFlag === "N") return true;
  const seen = new Set<string>();
  for (let at = entry.headerOffset; at < entry.dataOffset; at += BLOCK) {
    const flag = String.fromCharCode(tar[at + 156]!);
    if (!"xLK".includes(flag)) continue;
    seen.add(flag);
    // It loses its place behind an extension header without bytes.
    if (/^[0 ]*\0*$/.test(tar.toString("latin1", at + 124, at + 136))) return true;
  }
  if (seen.has("x") && (seen.has("L") || seen.has("K"))) return true;
  const header = tar.subarray(entry.dataOffset - BLOCK, entry.dataOffset);
  const isHeaderOnly = "123456".includes(entry.typeFlag);
  // What is neither a plain octal number nor a small one of base-256 is read in another way.
  const numbers = [100, 108, 116, 124].map((at) => header.toString("latin1", at, at + (at === 124 ? 12 : 8)));
  if (!numbers.every((text) => /^ *[0-7]*[\0 ]*$/.test(text) || /^\x80\0{4}/.test(text))) return true;
  if (isHeaderOnly && !/^[0 ]*\0*$/.test(numbers[3]!)) return true;
  if (isHeaderOnly && seen.has("x")) return true;
  if (header.toString("latin1", 508, 512) === "tar\0") return true;
  // A prefix in GNU's place of times, and a v7 directory by its slash.
  return (
    (header.toString("latin1", 257, 263) === "ustar " && header[345] !== 0) ||
    (entry.typeFlag !== "5" && entry.kind === "directory") ||
    header[156] === 0
  );
}

/** What differs between an entry and tar-stream's view of it. */
export function difference(
  entry: TarEntry,
  seen: OracleResult["entries"][number],
  tar: Buffer,
): string | undefined {
  const { header, content } = seen;
  const text = (bytes: string): string => Buffer.from(bytes, "latin1").toString();
  const pairs: readonly (readonly [what: string, ours: unknown, theirs: unknown])[] = [
    ["kind", entry.kind === "other" ? undefined : entry.kind, kinds[header.type ?? ""]],
    ["name", text(entry.name), header.name],
    ["target", text(entry.linkName), header.linkname ?? ""],
    ["mode", entry.mode, (header.mode ?? 0) & 0o7777],
    ["size", entry.size, header.type === "directory" ? 0 : header.size],
    [
      "content",
      tar.toString("latin1", entry.dataOffset, entry.dataOffset + entry.packedSize),
      content.toString("latin1"),
    ],
  ];
  const found = pairs.find(([, ours, theirs]) => ours !== theirs);
  return found && `${found[0]}: ${JSON.stringify(found[1])} is not ${JSON.stringify(found[2])}`;
}
