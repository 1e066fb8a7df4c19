import { createHash } from "node:crypto";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Registry } from "../../registry/index.js";
import { convertImage, layerOptions, layoutSource, registryTarget } from "../../transfer/index.js";
import { command } from "../tools/index.js";
import type { PublishOptions } from "./publish.js";
import { readRecord, writeRecord } from "./record.js";
import { writeLayout } from "./write-layout.js";

/** As many as images of many steps have. */
const LAYERS_PER_IMAGE = 20;
const FILES_PER_LAYER = 8;
const HASHES_PER_FILE = 512;

/** Images in eStargz that have this many different layers together. @returns `repository:tag` of each */
export async function publishLayers(
  options: Omit<PublishOptions, "workload"> & { readonly layers: number },
): Promise<readonly string[]> {
  const { layers, cacheFolder, host, tell, signal } = options;
  const record = join(cacheFolder, "published", `layers-${layers}.json`);
  const known = layers === 0 ? [] : await readRecord<readonly string[]>(record);
  if (known !== undefined) return known;
  tell(`making images of ${layers} layers`);
  const names: string[] = [];
  const folder = join(cacheFolder, "making", "layers");
  const registry = new Registry({});
  try {
    for (let first = 0; first < layers; first += LAYERS_PER_IMAGE) {
      const tars: string[] = [];
      for (let layer = first; layer < Math.min(layers, first + LAYERS_PER_IMAGE); layer += 1) {
        tars.push(await makeTar({ layer, folder, signal }));
      }
      const layout = join(folder, "layout");
      await writeLayout({ layers: tars, folder: layout, config: {}, name: "lazuli.bench/layers:latest" });
      const name = `bench/layers:${layers}-${first}`;
      await convertImage({
        source: await layoutSource(layout, "latest"),
        target: await registryTarget(registry, `${host}/${name}`),
        layers: layerOptions({ format: "estargz" }),
        platforms: "all",
        scratchFolder: tmpdir(),
        signal,
      });
      names.push(name);
      await rm(folder, { recursive: true, force: true });
    }
  } finally {
    await registry.close();
    await rm(folder, { recursive: true, force: true });
  }
  await writeRecord(record, names);
  return names;
}

async function makeTar(options: {
  readonly layer: number;
  readonly folder: string;
  readonly signal: AbortSignal;
}): Promise<string> {
  const { layer, folder, signal } = options;
  const root = join(folder, `root-${layer}`);
  const tar = join(folder, `${layer}.tar`);
  await mkdir(root, { recursive: true });
  for (let file = 0; file < FILES_PER_LAYER; file += 1) {
    // Bytes that no layer shares and that don't compress, the same on every machine.
    const hashes = Array.from({ length: HASHES_PER_FILE }, (_, at) =>
      createHash("sha256").update(`${layer} ${file} ${at}`).digest(),
    );
    await writeFile(join(root, `file-${layer}-${file}`), Buffer.concat(hashes));
  }
  const words = ["--owner=0", "--group=0", "--mtime=@0", "--sort=name", "-C", root, "-cf", tar, "."];
  await command("tar", words, { signal });
  return tar;
}
