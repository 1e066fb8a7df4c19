import { readdir, readFile } from "node:fs/promises";
import { dirname, isAbsolute, join } from "node:path";
import { parse, TomlError } from "smol-toml";
import { invalidArgument, LazuliError, notFound, permissionDenied } from "../errors/index.js";
import { modernise } from "./containerd-versions.js";
import { isTomlTable, mergeTables, ownValue, type TomlTable } from "./toml-tables.js";

/** A file of containerd is a few pages; a larger one is something else. */
const FILE_BYTES_MAX = 1024 * 1024;
/** More files than this import each other by mistake. */
const FILES_MAX = 64;

export interface ContainerdConfig {
  /** In the shape of form 4, all files merged. */
  readonly document: TomlTable;
  /** The form of each file, by its path, in the order in which they were laid on one another. */
  readonly files: readonly { readonly path: string; readonly version: number }[];
}

/**
 * Reads a config of containerd and what it imports, later files over earlier ones: each file is read by its own form.
 * @throws NOT_FOUND, INVALID_ARGUMENT
 */
export async function readContainerdConfig(file: string): Promise<ContainerdConfig> {
  const document: TomlTable = {};
  const files: { path: string; version: number }[] = [];
  const waiting = [file];
  for (let path = waiting.shift(); path !== undefined; path = waiting.shift()) {
    const known = path;
    if (files.some((read) => read.path === known)) continue;
    if (files.length === FILES_MAX) {
      throw invalidArgument(`Cannot read ${file}: want at most ${FILES_MAX} files, got more by imports`, {
        subject: file,
        reason: "containerd-imports-many",
      });
    }
    const one = await readToml(path);
    const { imports } = one;
    delete one.imports;
    const version = readVersion(one, path);
    files.push({ path, version });
    layOver(document, one);
    for (const pattern of Array.isArray(imports) ? imports : []) {
      waiting.push(...(await importedFiles(String(pattern), dirname(path))));
    }
  }
  return { document, files };
}

function readVersion(document: TomlTable, path: string): number {
  try {
    return modernise(document);
  } catch (thrown) {
    const { message, reason } = LazuliError.from(thrown);
    throw invalidArgument(`${message}, in ${path}`, {
      subject: path,
      ...(reason === undefined ? {} : { reason }),
      cause: thrown,
    });
  }
}

/** Tables whose entries are replaced whole by a later file. */
const replaced = ["proxy_plugins", "stream_processors", "timeouts"];

function layOver(document: TomlTable, over: TomlTable): void {
  for (const name of replaced) {
    const below = ownValue(document, name);
    const above = ownValue(over, name);
    if (isTomlTable(below) && isTomlTable(above)) for (const key of Object.keys(above)) delete below[key];
  }
  mergeTables(document, over);
}

/** An import may have wildcards in the last part of its path, and may have no file. */
async function importedFiles(pattern: string, folder: string): Promise<string[]> {
  const path = isAbsolute(pattern) ? pattern : join(folder, pattern);
  const name = path.slice(path.lastIndexOf("/") + 1);
  if (!/[*?[]/.test(name)) return [path];
  const names = await readdir(dirname(path)).catch(() => []); // No folder, no files.
  const matches = new RegExp(
    `^${name
      .replace(/[.+^${}()|\\]/g, "\\$&")
      .replaceAll("*", ".*")
      .replaceAll("?", ".")}$`,
  );
  return names
    .filter((candidate) => matches.test(candidate))
    .sort()
    .map((candidate) => join(dirname(path), candidate));
}

async function readToml(path: string): Promise<TomlTable> {
  const bytes = await readFile(path).catch((cause: NodeJS.ErrnoException) => {
    const make = cause.code === "EACCES" ? permissionDenied : notFound;
    throw make(`Cannot read ${path}: want a config of containerd, got ${cause.code}`, {
      subject: path,
      reason: "containerd-config-missing",
      hint: "`containerd config dump` prints what is in force; --from names the file",
      cause,
    });
  });
  const wrong = (got: string, cause?: unknown): Error =>
    invalidArgument(`Cannot read ${path}: want TOML of at most ${FILE_BYTES_MAX} bytes, got ${got}`, {
      subject: path,
      reason: "containerd-config-invalid",
      cause,
    });
  if (bytes.length > FILE_BYTES_MAX) throw wrong(`${bytes.length} bytes`);
  try {
    return parse(bytes.toString("utf8"));
  } catch (thrown) {
    if (!(thrown instanceof TomlError)) throw thrown;
    throw wrong(`"${thrown.message.split("\n")[0]}" at line ${thrown.line}`, thrown);
  }
}
