import { chmod, lchown, lstat, mkdir } from "node:fs/promises";
import { invalidArgument, type LazuliError } from "../errors/index.js";
import { insideRoots } from "./inside-roots.js";
import type { MountBinding, MountSpec } from "./mount-spec.js";

export interface TransformOptions {
  readonly binding: MountBinding;
  /** Folders in which folders and images may be made. */
  readonly roots: readonly string[];
  readonly signal?: AbortSignal | undefined;
}

interface WantedFolder {
  readonly path: string;
  readonly mode: number;
  readonly owner: { readonly uid: number; readonly gid: number } | undefined;
}

const PREFIX = "X-containerd.mkdir.";
const MODE = 0o700;
const ID_MAX = 4_294_967_294;

/**
 * `mkdir/`: makes the folders of `X-containerd.mkdir.path=<folder>[:<mode>[:<uid>:<gid>]]`, mode in octal, and takes these
 * options away. A folder that is there gets the mode and the owner. @throws INVALID_ARGUMENT, FAILED_PRECONDITION
 */
export async function makeFolders(spec: MountSpec, options: TransformOptions): Promise<MountSpec> {
  const own = spec.options.filter((option) => option.startsWith(PREFIX));
  for (const folder of own.map(wantedFolder)) await makeFolder(folder, options);
  return { ...spec, options: spec.options.filter((option) => !option.startsWith(PREFIX)) };
}

function wantedFolder(option: string): WantedFolder {
  const text = option.slice(PREFIX.length);
  const [path = "", mode, uid, ...rest] = text.startsWith("path=")
    ? text.slice("path=".length).split(":")
    : [];
  const isWhole = path !== "" && (uid === undefined ? rest.length === 0 : rest.length === 1);
  if (!isWhole) throw invalid(option, `invalid mkdir option ${JSON.stringify(option)}`);
  return {
    path,
    mode: mode === undefined ? MODE : modeOf(option, mode),
    owner:
      uid === undefined ? undefined : { uid: idOf(option, "uid", uid), gid: idOf(option, "gid", rest[0]!) },
  };
}

function modeOf(option: string, text: string): number {
  if (!/^[0-7]{1,11}$/.test(text)) throw invalid(option, `invalid mode ${text}`);
  const mode = Number.parseInt(text, 8);
  if (mode > 0o777) throw invalid(option, `invalid mode ${mode.toString(8)}`);
  return mode;
}

function idOf(option: string, word: string, text: string): number {
  if (/^\d{1,10}$/.test(text) && Number(text) <= ID_MAX) return Number(text);
  throw invalid(option, `invalid ${word} ${JSON.stringify(text)}`);
}

async function makeFolder({ path, mode, owner }: WantedFolder, options: TransformOptions): Promise<void> {
  options.signal?.throwIfAborted();
  const place = await insideRoots({ ...options, path, what: "mkdir" });
  const found = await lstat(place).catch((thrown: NodeJS.ErrnoException) => {
    if (thrown.code === "ENOENT") return undefined;
    throw thrown;
  });
  if (found !== undefined && !found.isDirectory()) {
    throw invalid(path, `failed to create directory ${JSON.stringify(path)}: file exists`);
  }
  if (found === undefined) await mkdir(place, { mode });
  // The mask of the process has no say in it.
  if (((found?.mode ?? 0) & 0o777) !== mode) await chmod(place, mode);
  if (owner !== undefined) await lchown(place, owner.uid, owner.gid);
}

function invalid(subject: string, message: string): LazuliError {
  return invalidArgument(message, { subject, reason: "mount-options-invalid" });
}
