import { createHash } from "node:crypto";
import { mkdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LazuliError } from "../../errors/index.js";
import { Registry } from "../../registry/index.js";
import {
  convertImage,
  type ImageSource,
  indexImage,
  layerOptions,
  layoutSource,
  layoutTarget,
  pushIndexes,
  registrySource,
  registryTarget,
} from "../../transfer/index.js";
import type { BuiltImage, Workload } from "../workloads/index.js";
import { buildImage } from "./build-image.js";
import { copyImage } from "./copy-image.js";
import { readRecord, writeRecord } from "./record.js";

/** Forms in which each image lies at the registry, each under the tag of this name. */
export const imageFormats = ["plain", "estargz", "zstdchunked", "soci"] as const;
export type ImageFormat = (typeof imageFormats)[number];

/** What is known of an image that the registry has in all formats. */
export interface PublishedImage {
  readonly repository: string;
  /** Of the index (SOCI v1) that refers to the plain image. Undefined: no layer is large enough for one. */
  readonly sociIndex: string | undefined;
  /** Bytes of the plain image's blobs. */
  readonly plainBytes: number;
}

export interface PublishOptions {
  readonly workload: Workload;
  /** Kept between runs. */
  readonly cacheFolder: string;
  /** `127.0.0.1:<port>`, plain HTTP. */
  readonly host: string;
  readonly tell: (line: string) => void;
  readonly signal: AbortSignal;
}

/** Counts up with what is published, so that what older programs have left is made again. */
const FORM = 1;

/** Makes the image and its formats, unless an earlier run has. */
export async function publish(options: PublishOptions): Promise<PublishedImage> {
  const { workload, cacheFolder, tell, signal } = options;
  const { name, origin } = workload;
  const recipe = createHash("sha256")
    .update(JSON.stringify([FORM, origin]))
    .digest("hex");
  const record = join(cacheFolder, "published", `${recipe}.json`);
  const known = await readRecord<PublishedImage>(record);
  if (known !== undefined) return known;
  const repository = `bench/${origin.kind === "built" ? name : recipe.slice(0, 12)}`;
  const layout = join(cacheFolder, "making", name);
  await mkdir(join(cacheFolder, "making"), { recursive: true });
  await using registry = asyncClosed(new Registry({}));
  let source: ImageSource;
  if (origin.kind === "built") {
    tell(`${name}: building the image from Debian's packages`);
    await buildImage({
      workload: { ...workload, origin: origin satisfies BuiltImage },
      folder: layout,
      signal,
    });
    source = await layoutSource(layout, "latest");
  } else source = registrySource(registry.value, origin.reference);
  const published = await publishFormats({ ...options, repository, source, registry: registry.value });
  await rm(layout, { recursive: true, force: true });
  await writeRecord(record, published);
  return published;
}

async function publishFormats(
  options: PublishOptions & {
    readonly repository: string;
    readonly source: ImageSource;
    readonly registry: Registry;
  },
): Promise<PublishedImage> {
  const { workload, repository, source, registry, host, tell, signal } = options;
  const targetOf = async (format: ImageFormat) =>
    await registryTarget(registry, `${host}/${repository}:${format}`);
  tell(`${workload.name}: pushing the plain image`);
  await copyImage({ source, target: await targetOf("plain"), signal });
  const place = registrySource(registry, `${host}/${repository}:plain`);
  const common = { source: place, platforms: "all" as const, scratchFolder: tmpdir(), signal };
  let plainBytes = 0;
  for (const format of ["estargz", "zstdchunked", "soci"] as const) {
    tell(`${workload.name}: converting to ${format}`);
    const layers = layerOptions({ format });
    const { manifests } = await convertImage({ ...common, target: await targetOf(format), layers });
    plainBytes = manifests[0]!.layers.reduce((sum, { sourceBytes }) => sum + sourceBytes, 0);
  }
  const sociIndex = await publishIndex({ ...options, place });
  return { repository, sociIndex, plainBytes };
}

async function publishIndex(options: {
  readonly place: ImageSource;
  readonly registry: Registry;
  readonly host: string;
  readonly repository: string;
  readonly cacheFolder: string;
  readonly signal: AbortSignal;
}): Promise<string | undefined> {
  const { place, registry, host, repository, cacheFolder, signal } = options;
  const folder = join(cacheFolder, "making", "index");
  await rm(folder, { recursive: true, force: true });
  try {
    const target = await layoutTarget(folder, "index");
    await indexImage({ source: place, target, platforms: "all", scratchFolder: tmpdir(), signal });
    const pushed = await pushIndexes({
      source: await layoutSource(folder, "index"),
      target: await registryTarget(registry, `${host}/${repository}:plain`),
      place,
      signal,
    });
    return pushed[0]?.digest;
  } catch (thrown) {
    if (thrown instanceof LazuliError && thrown.reason === "soci-empty") return undefined;
    throw thrown;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function asyncClosed(value: Registry): AsyncDisposable & { readonly value: Registry } {
  return { value, [Symbol.asyncDispose]: async () => await value.close() };
}
