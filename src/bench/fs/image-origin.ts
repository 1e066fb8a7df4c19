import { mkdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Registry } from "../../registry/index.js";
import { convertImage, layerOptions, layoutSource, registryTarget } from "../../transfer/index.js";
import { startBenchRegistry } from "../engines/index.js";
import { publish, writeLayout } from "../images/index.js";
import { type Cleanup, command } from "../tools/index.js";
import type { Workload } from "../workloads/index.js";

/** Which tree is measured. */
export type ImageOrigin =
  /** An image in a lazy format at a registry. */
  | { readonly kind: "image"; readonly reference: string }
  /** A folder of this machine. */
  | { readonly kind: "tree"; readonly folder: string }
  /** An image of Debian's packages, made once. */
  | { readonly kind: "workload"; readonly workload: Workload };

export interface ServeImageOptions {
  readonly origin: ImageOrigin;
  readonly work: string;
  readonly cacheFolder: string;
  readonly cleanup: Cleanup;
  readonly tell: (line: string) => void;
  readonly signal: AbortSignal;
}

/** A reference by which lazuli can pull the image in eStargz, from a registry that runs until the cleanup. */
export async function serveImage(options: ServeImageOptions): Promise<string> {
  const { origin, work, cleanup, tell, signal } = options;
  if (origin.kind === "image") return origin.reference;
  const cacheFolder = origin.kind === "tree" ? join(work, "cache") : options.cacheFolder;
  const registry = await startBenchRegistry({ cacheFolder, folder: work, certificate: undefined });
  cleanup.add(() => registry.stop());
  const host = `127.0.0.1:${registry.port}`;
  if (origin.kind === "workload") {
    const { repository } = await publish({ workload: origin.workload, cacheFolder, host, tell, signal });
    return `${host}/${repository}:estargz`;
  }
  tell(`making an image of ${origin.folder}`);
  return await publishTree({ folder: origin.folder, work: join(work, "tree"), host, signal });
}

async function publishTree(options: {
  readonly folder: string;
  readonly work: string;
  readonly host: string;
  readonly signal: AbortSignal;
}): Promise<string> {
  const { folder, work, host, signal } = options;
  const [tar, layout] = [join(work, "tree.tar"), join(work, "layout")];
  await mkdir(work, { recursive: true });
  await command("tar", ["--one-file-system", "--sort=name", "-C", folder, "-cf", tar, "."], { signal });
  await writeLayout({
    layers: [tar],
    folder: layout,
    config: {},
    name: "lazuli.bench/tree:latest",
    gzipLevel: 1,
  });
  const name = `${host}/bench/tree:estargz`;
  const registry = new Registry({});
  try {
    await convertImage({
      source: await layoutSource(layout, "latest"),
      target: await registryTarget(registry, name),
      layers: layerOptions({ format: "estargz" }),
      platforms: "all",
      scratchFolder: tmpdir(),
      signal,
    });
  } finally {
    await registry.close();
    await rm(work, { recursive: true, force: true });
  }
  return name;
}
