import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t, { type Test } from "tap";
import { LazuliError } from "../../src/errors/index.js";
import type { OpenLayerEngine } from "../../src/layer/index.js";
import { layerPaths } from "../../src/layer/paths.js";
import { EngineRig } from "../../testing/layer/engine-rig.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { command } from "../../testing/rig/command.js";
import { formatFiles, listingDifference, treeListing } from "../../testing/rig/tree-listing.js";
import { startUnpacker } from "../../testing/tar/index.js";
import { FileSource, fileFacts } from "./file-source.js";
import { matrixContents, sparseContent, writeContents } from "./matrix-contents.js";
import {
  engineFormats,
  type MatrixFormat,
  type MatrixLayer,
  makeLayers,
  matrixFormats,
} from "./matrix-layers.js";

/** `both`: each layer on both rungs; `full`: also with sizes for which there is no time in an ordinary run. */
const isFull = process.env.LAZULI_MATRIX === "full";
const isBoth = isFull || process.env.LAZULI_MATRIX === "both";
const sizes = isFull ? { files: 100_000, sparseMebibytes: 6144 } : { files: 10_000, sparseMebibytes: 64 };
const rungs = ["erofs", "fuse-tree"] as const;

t.setTimeout(isFull ? 7_200_000 : 300_000);

/** What can't be lazy, or not in that format, and why. The client unpacks such layers. */
const refused: Readonly<Record<string, Partial<Record<MatrixFormat, string>>>> = {
  // A TOC is JSON, which has no bytes that are not UTF-8.
  "byte-names": inToc("toc-name-lossy"),
  // A TOC has one entry for a name, and no order.
  "replaced-target": inToc("toc-hardlink-target"),
  "replaced-folder": inToc("toc-kind-conflict"),
  "no-bytes": { "soci-tar": "layer-empty", tar: "layer-empty", ...inFine("layer-empty") },
  // The old headers of sparse files, which containerd refuses as well.
  "sparse-gnu": {
    ...inSoci("layer-entry-sparse"),
    ...inArchive("tar-entry-type"),
    ...inFine("tar-entry-type"),
  },
  "sparse-posix": {
    ...inSoci("layer-entry-sparse"),
    ...inArchive("tar-sparse"),
    ...inFine("tar-headers-missing"),
  },
};

function inToc(reason: string): Partial<Record<MatrixFormat, string>> {
  return { estargz: reason, stargz: reason, containers: reason };
}

function inSoci(reason: string): Partial<Record<MatrixFormat, string>> {
  return { "soci-gzip": reason, "soci-tar": reason };
}

function inFine(reason: string): Partial<Record<MatrixFormat, string>> {
  return { "fine-gzip": reason, "fine-zstd": reason, "fine-tar": reason };
}

function inArchive(reason: string): Partial<Record<MatrixFormat, string>> {
  return { gzip: reason, zstd: reason, tar: reason };
}

/**
 * Difference of two listings but for times that containerd takes from its own clock while it unpacks: those of
 * folders that only their files' names imply, and of what stands for a whiteout.
 */
function difference(wanted: readonly string[], seen: readonly string[], clockSeconds: number): string[] {
  const timeAt = 6;
  const fieldsOf = (line: string): string[] => line.split("|");
  const isOfClock = (fields: readonly string[]): boolean =>
    Number(fields[timeAt]?.split(".")[0]) >= clockSeconds;
  const ofClock = new Set(
    wanted
      .map(fieldsOf)
      .filter(isOfClock)
      .map(([path]) => path),
  );
  const masked = (line: string): string => {
    const fields = fieldsOf(line);
    if (!ofClock.has(fields[0]) || fields.length <= timeAt) return line;
    return fields.with(timeAt, "clock").join("|");
  };
  return listingDifference(wanted.map(masked), seen.map(masked));
}

/** The names as bytes, beside what treeListing() reads as text. */
async function listingOf(folder: string): Promise<string[]> {
  const script = 'cd "$1"; find . -mindepth 1 -printf "%P\\\\0%l\\\\0" | base64 -w0';
  const { stdout } = await command("bash", ["-euc", script, "names", folder]);
  const words = Buffer.from(stdout, "base64").toString("latin1").split("\0");
  const names: string[] = [];
  for (let at = 0; at + 1 < words.length; at += 2) names.push(`name ${words[at]} -> ${words[at + 1]}`);
  return [
    ...(await treeListing(folder)),
    ...names.filter((line) => !formatFiles.some((name) => line.startsWith(`name ${name} `))).sort(),
  ];
}

/** What containerd unpacks of each archive; of the old GNU sparse files, which it refuses, what GNU tar does. */
async function wantedListings(t: Test, folder: string, tars: readonly string[]): Promise<string[][]> {
  await using unpacker = await startUnpacker();
  const listings: string[][] = [];
  for (const [at, path] of tars.entries()) {
    const unpacked = await unpacker.unpack({ path, ...(await fileFacts(path)) });
    if (!("error" in unpacked)) {
      listings.push(await listingOf(unpacked.folder));
      continue;
    }
    t.equal(matrixContents[at]!.name, "sparse-gnu", unpacked.error);
    const tree = join(folder, "tree");
    await command("bash", ["-euc", 'mkdir "$1"; tar --numeric-owner -C "$1" -xpf "$2"', "untar", tree, path]);
    listings.push(await listingOf(tree));
  }
  return listings;
}

async function mountedListing(
  engine: OpenLayerEngine,
  layer: MatrixLayer,
  format: MatrixFormat,
): Promise<string[] | string> {
  if ("kept" in layer) return layer.kept;
  const { path, mediaType, index } = layer;
  const source = await FileSource.open(path);
  const { digest, size } = source;
  const origin = { reference: "memory.example/matrix:1", size };
  try {
    await engine.ensure({ digest, mediaType, index, openSource: async () => source, origin }, {});
  } catch (thrown) {
    return LazuliError.from(thrown).reason ?? String(thrown);
  }
  const status = engine.status(digest);
  if (status.format !== engineFormats[format]) throw new Error(`The engine calls ${format} ${status.format}`);
  return await listingOf(await engine.mountPoint(digest));
}

t.test("a layer of any format shows what containerd unpacks of its tar", async (t) => {
  await using cleanup = new Cleanup();
  const folder = await mkdtemp(join(tmpdir(), "lazuli-matrix-"));
  cleanup.add(() => rm(folder, { recursive: true, force: true }));
  const tars = await writeContents(folder, sizes);
  const clockSeconds = Math.floor(Date.now() / 1000) - 1;
  await using layers = await makeLayers(tars);
  const wanted = await wantedListings(t, folder, tars);
  for (const [rungAt, rung] of rungs.entries()) {
    await using rig = await EngineRig.make();
    const engine = await rig.open({ mount: rung });
    for (const [at, { name }] of matrixContents.entries()) {
      await t.test(`${name} (${rung})`, async (t) => {
        for (const [formatAt, format] of matrixFormats.entries()) {
          // Half of the cells on each rung, all formats and all contents on both.
          if (!isBoth && (at + formatAt) % 2 !== rungAt) continue;
          const layer = layers.of[format][at]!;
          if ("windowsPath" in layer && layer.windowsPath !== undefined) {
            const windows = await FileSource.open(layer.windowsPath);
            rig.sources.set(windows.digest, windows);
          }
          const seen = await mountedListing(engine, layer, format);
          const reason = refused[name]?.[format];
          if (typeof seen === "string" || reason !== undefined) t.equal(seen, reason, `${format}: refused`);
          else t.same(difference(wanted[at]!, seen, clockSeconds), [], `${format}: the same tree`);
          if ("kept" in layer || typeof seen === "string") continue;
          const { digest } = await fileFacts(layer.path);
          if (name === sparseContent && layer.index.kind === "whole") {
            const { size, blocks } = await stat(layerPaths(rig.root, digest).data);
            t.ok(size > sizes.sparseMebibytes * 2 ** 20, `${format}: its data file is long`);
            t.ok(blocks * 512 < size / 2, `${format}: and sparse: ${blocks * 512} bytes of ${size}`);
          }
          await engine.remove(digest);
        }
      });
    }
  }
});
