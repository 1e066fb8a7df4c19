import { constants, open, readdir } from "node:fs/promises";
import { extname, join } from "node:path";
import { LazuliError, notFound, resourceExhausted } from "../errors/index.js";
import type { CdiSpec } from "./contract.js";
import { parseCdiSpec, SPEC_BYTES_MAX } from "./parse-spec.js";

/** Spec files of one folder; those after them (by name) are left out and told. */
const FILES_MAX = 512;

export interface SpecFile {
  readonly path: string;
  /** Place of its folder; a higher one stands above a lower one. */
  readonly priority: number;
  readonly spec: CdiSpec | undefined;
  /** Why there is no spec. */
  readonly error: LazuliError | undefined;
}

interface CachedFile {
  readonly stamp: string;
  readonly file: SpecFile;
}

/** Reads folders of CDI specs; a file is parsed again only when it has changed. */
export class SpecFolders {
  readonly #folders: readonly string[];
  #cache: ReadonlyMap<string, CachedFile> = new Map();

  constructor(folders: readonly string[]) {
    this.#folders = folders;
  }

  async load(): Promise<SpecFile[]> {
    const files: SpecFile[] = [];
    const cache = new Map<string, CachedFile>();
    for (const [priority, folder] of this.#folders.entries()) {
      const names = await specNames(folder);
      for (const name of names.slice(0, FILES_MAX)) {
        const path = join(folder, name);
        const cached = await this.#read(path, priority);
        cache.set(path, cached);
        files.push(cached.file);
      }
      if (names.length > FILES_MAX) files.push(tooMany(folder, priority, names.length));
    }
    this.#cache = cache;
    return files;
  }

  async #read(path: string, priority: number): Promise<CachedFile> {
    try {
      // Without O_NONBLOCK a FIFO would keep a thread for ever.
      await using handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
      const stat = await handle.stat({ bigint: true });
      const stamp = `${stat.dev}:${stat.ino}:${stat.size}:${stat.mtimeNs}:${stat.ctimeNs}`;
      const known = this.#cache.get(path);
      if (known?.stamp === stamp) return known;
      if (!stat.isFile())
        throw notFound(`Cannot read ${path}: want a file, got something else`, { subject: path });
      const bytes = await readBounded(handle, path);
      const spec = parseCdiSpec(bytes, extname(path) === ".json" ? "json" : "yaml");
      return { stamp, file: { path, priority, spec, error: undefined } };
    } catch (thrown) {
      return { stamp: "", file: { path, priority, spec: undefined, error: LazuliError.from(thrown) } };
    }
  }
}

async function readBounded(handle: { readonly fd: number } & AsyncReadable, path: string): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for (;;) {
    const { bytesRead, buffer } = await handle.read(Buffer.alloc(65_536), 0, 65_536, null);
    if (bytesRead === 0) return Buffer.concat(chunks, length);
    length += bytesRead;
    if (length > SPEC_BYTES_MAX) {
      throw resourceExhausted(`Cannot read ${path}: want at most ${SPEC_BYTES_MAX} bytes, got more`, {
        subject: path,
        reason: "cdi-spec-too-large",
      });
    }
    chunks.push(buffer.subarray(0, bytesRead));
  }
}

interface AsyncReadable {
  read(
    buffer: Buffer,
    offset: number,
    length: number,
    position: null,
  ): Promise<{ bytesRead: number; buffer: Buffer }>;
}

/** Names of spec files in the order of their bytes; a folder that isn't there has none. */
async function specNames(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch(() => []); // Folders of CDI are optional; an unreadable one has no devices.
  return names.filter((name) => [".json", ".yaml"].includes(extname(name))).sort();
}

function tooMany(folder: string, priority: number, count: number): SpecFile {
  const error = resourceExhausted(
    `Cannot read all of ${folder}: want at most ${FILES_MAX} CDI specs, got ${count}`,
    {
      subject: folder,
      reason: "cdi-too-many-specs",
    },
  );
  return { path: folder, priority, spec: undefined, error };
}
