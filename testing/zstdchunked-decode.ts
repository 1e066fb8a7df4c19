import { mkdtemp, open, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { extract, type Header } from "tar-stream";
import { sha256 } from "../src/bytes/index.js";
import type { CompiledToc } from "../src/estargz/index.js";
import { loadBinding, unitOutcomes } from "../src/fuse/index.js";
import { encodeUnitTable } from "../src/units/index.js";

/** Makes the whole data file of a layer with the native plane, which checks each unit. */
export async function ingestLayer(blob: Buffer, compiled: CompiledToc): Promise<Buffer> {
  const { units, dataSize } = compiled;
  const table = encodeUnitTable(units, { dataSize, blobSize: blob.length, blockSize: 4096 });
  const folder = await mkdtemp(join(tmpdir(), "lazuli-ingest-"));
  const path = join(folder, "data");
  const file = await open(path, "wx+");
  const plane = new (loadBinding().Plane)({
    fuseThreads: 1,
    workerThreads: 1,
    waitingReadsMax: 1,
    onMiss: () => {},
    onInterrupt: () => {},
    onDamaged: () => {},
    onRefused: () => {},
  });
  try {
    await file.truncate(dataSize);
    const present = Buffer.alloc(Math.ceil(units.length / 8));
    plane.addLayer({ number: 1, dataFd: file.fd, units: table.buffer, present, metaFd: -1 });
    if (units.length > 0) {
      const lastUnit = units.length - 1;
      const outcomes = await plane.ingest({ layer: 1, firstUnit: 0, lastUnit, bytes: blob, blobOffset: 0 });
      const bad = outcomes.findIndex((outcome) => outcome !== unitOutcomes.stored);
      if (bad >= 0) throw new Error(`Unit ${bad} at ${units[bad]!.blobOffset} came out as ${outcomes[bad]}`);
    }
    return await readFile(path);
  } finally {
    plane.close();
    await file.close();
    await rm(folder, { recursive: true, force: true });
  }
}

const kinds: Readonly<Record<string, string>> = {
  file: "file",
  directory: "directory",
  link: "link",
  symlink: "symlink",
  "character-device": "character",
  "block-device": "block",
  fifo: "fifo",
};

interface Listed {
  header: Header;
  readonly kind: string;
  readonly content: Buffer;
}

/**
 * The listing that listTree() gives of a layer, made from its tar by tar-stream, where what containerd does is done: the
 * root is passed over, and links describe their inode. Knows no whiteouts, and no links to what has attributes.
 */
export async function listTar(tar: Buffer): Promise<Record<string, string>> {
  const listed = new Map<string, Listed>();
  const implied = new Set<string>();
  const parser = extract();
  Readable.from([tar]).pipe(parser);
  for await (const entry of parser) {
    const content: Buffer[] = [];
    for await (const part of entry) content.push(part as Buffer);
    const { header } = entry;
    const path = pathOf(header.name);
    if (path === "/") continue;
    for (let at = path.indexOf("/", 1); at > 0; at = path.indexOf("/", at + 1))
      implied.add(path.slice(0, at));
    const target = header.type === "link" ? listed.get(pathOf(header.linkname!)) : undefined;
    if (target !== undefined) target.header = header;
    const kind = kinds[header.type ?? "file"] ?? "unknown";
    listed.set(path, target ?? { header, kind, content: Buffer.concat(content) });
  }
  const lines: Record<string, string> = { "/": IMPLIED };
  for (const path of implied) lines[path] = IMPLIED;
  for (const [path, one] of listed) lines[path] = lineOf(one);
  return lines;
}

const IMPLIED = "directory 755 0:0 0";

function pathOf(name: string): string {
  return `/${name.replace(/^\.?\/+/, "").replace(/\/$/, "")}`;
}

function lineOf({ header, kind, content }: Listed): string {
  const special = {
    file: sha256(content).slice(7, 19),
    symlink: `-> ${header.linkname}`,
    character: `${header.devmajor},${header.devminor}`,
    block: `${header.devmajor},${header.devminor}`,
  };
  const xattrs = Object.entries(header.pax ?? {})
    .filter(([key]) => key.startsWith("SCHILY.xattr."))
    .map(
      ([key, value]) => `${key.slice("SCHILY.xattr.".length)}=${Buffer.from(String(value)).toString("hex")}`,
    )
    .sort();
  return [
    kind,
    (header.mode! & 0o7777).toString(8),
    `${header.uid}:${header.gid}`,
    Math.floor(header.mtime!.getTime() / 1000),
    special[kind as keyof typeof special] ?? "",
    ...xattrs,
  ]
    .filter((word) => word !== "")
    .join(" ");
}
