import { randomBytes } from "node:crypto";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Digest, digestFileName, parseDigest, sha256 } from "../bytes/index.js";
import { LazuliError } from "../errors/index.js";
import type { LayerOptions } from "./layer-options.js";

/** Counts up when the same options make other bytes. */
const CONVERTER_VERSION = 1;

export interface BlobName {
  readonly digest: Digest;
  readonly size: number;
}

/** What a layer became. */
export interface RecordedLayer extends BlobName {
  readonly mediaType: string;
  readonly diffId: Digest;
  readonly annotations: Readonly<Record<string, string>>;
  readonly toc: BlobName | undefined;
}

export interface RecordKey {
  readonly layer: Digest;
  readonly diffId: Digest;
  readonly options: LayerOptions;
}

/**
 * What became of layers that were converted before: one small file each, so that a run that was stopped, or another
 * image on the same layers, need not make them again. A file that can't be read counts as not there.
 */
export class ConvertRecord {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async find(key: RecordKey): Promise<RecordedLayer | undefined> {
    try {
      return parseRecord(JSON.parse(await readFile(this.#path(key), "utf8")));
    } catch (thrown) {
      const code = (thrown as NodeJS.ErrnoException).code;
      if (code === "ENOENT" || thrown instanceof SyntaxError || thrown instanceof LazuliError)
        return undefined;
      throw thrown;
    }
  }

  async keep(key: RecordKey, layer: RecordedLayer): Promise<void> {
    await mkdir(this.#folder, { recursive: true });
    const path = this.#path(key);
    const temporary = `${path}.new-${randomBytes(8).toString("hex")}`;
    try {
      await writeFile(temporary, `${JSON.stringify({ source: key.layer, ...layer })}\n`);
      await rename(temporary, path);
    } catch (thrown) {
      await rm(temporary, { force: true });
      throw thrown;
    }
  }

  #path({ layer, diffId, options }: RecordKey): string {
    const key = JSON.stringify([CONVERTER_VERSION, process.versions.zlib, layer, diffId, options]);
    return join(this.#folder, `${digestFileName(sha256(Buffer.from(key)))}.json`);
  }
}

function parseRecord(value: unknown): RecordedLayer | undefined {
  const fields = value as Partial<Record<keyof RecordedLayer, unknown>> | null;
  const annotations = fields?.annotations;
  if (typeof fields?.mediaType !== "string" || typeof annotations !== "object" || annotations === null)
    return undefined;
  if (!Object.values(annotations).every((text) => typeof text === "string")) return undefined;
  const blob = blobName(fields);
  const toc =
    fields.toc === undefined ? undefined : blobName(fields.toc as Partial<Record<keyof BlobName, unknown>>);
  const { mediaType } = fields;
  return {
    ...blob,
    mediaType,
    diffId: parseDigest(fields.diffId),
    annotations: annotations as Readonly<Record<string, string>>,
    toc,
  };
}

function blobName(fields: Partial<Record<keyof BlobName, unknown>>): BlobName {
  const { size } = fields;
  if (typeof size !== "number" || !Number.isSafeInteger(size)) throw new SyntaxError("a size is no number");
  return { digest: parseDigest(fields.digest), size };
}
