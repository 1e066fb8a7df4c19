import { open, stat } from "node:fs/promises";
import { textOfBytes } from "../bytes/index.js";
import { invalidArgument, notFound } from "../errors/index.js";
import { MANIFEST_BYTES_MAX, type Platform, parseIndex, parseReference } from "../oci/index.js";
import { readTar } from "../tar/index.js";
import { archiveSource, archiveTarget } from "../transfer/index.js";
import type { Connection } from "./connection.js";
import { contentSource, contentTarget } from "./content-image.js";
import { copyImage } from "./copy-image.js";
import { findImage, type Image, storeImage } from "./images.js";
import type { Target, Waiting } from "./messages.js";
import { chooseSnapshotter } from "./plugins.js";
import { machinePlatform, readPlatformImage } from "./read-image.js";
import { unpackImage } from "./unpack.js";
import { withLease } from "./with-lease.js";

const NAME_ANNOTATION = "org.opencontainers.image.ref.name";
const CONTAINERD_NAME_ANNOTATION = "io.containerd.image.name";

export interface ImportOptions extends Waiting {
  /** In place of the name that the archive has. */
  readonly name?: string | undefined;
  readonly platform?: Platform | "all" | undefined;
  readonly snapshotter?: string | undefined;
  /** True by default. */
  readonly isUnpacked?: boolean | undefined;
}

/** Brings the image of an OCI archive (a tar with an index.json) into the server. @throws NOT_FOUND, INVALID_ARGUMENT */
export async function importImage(
  connection: Connection,
  path: string,
  options: ImportOptions = {},
): Promise<Image> {
  const { platform = machinePlatform(), signal } = options;
  const inside = await nameInArchive(path);
  const text = options.name ?? inside.name;
  if (text === undefined) {
    throw invalidArgument(`Cannot import ${path}: it names no image`, {
      subject: path,
      reason: "name-missing",
      hint: "Give the image a name",
    });
  }
  const name = parseReference(text).toString();
  return await withLease(
    connection,
    async (leased) => {
      await using source = await archiveSource(path, inside.entry);
      const target = contentTarget({
        content: leased.content,
        name,
        labels: {},
        onName: async () => undefined,
      });
      const platforms = platform === "all" ? ("all" as const) : [platform];
      const root = await copyImage({ source, target, platforms, copiesLayers: true, signal });
      if (options.isUnpacked ?? true) await unpackImported(leased, { ...options, name, root });
      await storeImage(leased, { name, target: root, labels: {}, signal });
      return await findImage(connection, name, { signal });
    },
    { signal },
  );
}

async function unpackImported(
  connection: Connection,
  options: ImportOptions & { readonly name: string; readonly root: Target },
): Promise<void> {
  const { name, signal } = options;
  const snapshotter = await chooseSnapshotter(connection, options.snapshotter, { signal });
  const platform = options.platform === "all" ? undefined : options.platform;
  const image = await readPlatformImage(connection.content, options.root, { platform, signal });
  const fetchLayer = async (): Promise<void> => undefined;
  await unpackImage(connection, {
    name,
    image,
    snapshotter: snapshotter.name,
    isLazy: false,
    fetchLayer,
    signal,
  });
}

export interface ExportOptions extends Waiting {
  readonly platform?: Platform | "all" | undefined;
}

/** Writes an image into an OCI archive; the file takes its place when it is whole. @throws NOT_FOUND */
export async function exportImage(
  connection: Connection,
  request: { readonly name: string; readonly path: string },
  { platform = machinePlatform(), signal }: ExportOptions = {},
): Promise<Target> {
  const image = await findImage(connection, request.name, { signal });
  await using target = await archiveTarget(request.path, image.name);
  return await copyImage({
    source: contentSource(connection.content, image),
    target,
    platforms: platform === "all" ? "all" : [platform],
    copiesLayers: true,
    signal,
  });
}

interface ArchiveName {
  /** containerd's full name where the archive has one. */
  readonly name: string | undefined;
  /** What the archive's index calls it. */
  readonly entry: string | undefined;
}

async function nameInArchive(path: string): Promise<ArchiveName> {
  const index = await readIndex(path);
  const entries = parseIndex(index).manifests;
  const [only] = entries;
  if (only === undefined || entries.length > 1) {
    throw invalidArgument(`Cannot import ${path}: want one image in it, got ${entries.length}`, {
      subject: path,
      reason: "image-ambiguous",
    });
  }
  const entry = only.annotations[NAME_ANNOTATION];
  return { name: only.annotations[CONTAINERD_NAME_ANNOTATION] ?? entry, entry };
}

async function readIndex(path: string): Promise<Buffer> {
  const { size } = await stat(path);
  const file = await open(path, "r");
  try {
    const read = async ({ offset, length }: { offset: number; length: number }): Promise<Buffer> => {
      const bytes = Buffer.alloc(length);
      const { bytesRead } = await file.read(bytes, 0, length, offset);
      return bytes.subarray(0, bytesRead);
    };
    for await (const entry of readTar({ size, read })) {
      if (entry.kind !== "file" || !/^(\.\/)?index\.json$/.test(textOfBytes(entry.name))) continue;
      return await read({ offset: entry.dataOffset, length: Math.min(entry.size, MANIFEST_BYTES_MAX) });
    }
  } finally {
    await file.close();
  }
  throw notFound(`Cannot read the OCI archive ${path}: it has no index.json`, {
    subject: path,
    reason: "layout-missing",
    hint: "Give a file that `lazuli save`, skopeo, buildah or ctr has written as an OCI archive",
  });
}
