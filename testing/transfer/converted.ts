import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bytesOfText } from "../../src/bytes/index.js";
import { Registry } from "../../src/registry/index.js";
import {
  type ConvertImageOptions,
  type ConvertReport,
  convertImage,
  layerOptions,
  openImageSource,
  openImageTarget,
  parseImageLocation,
} from "../../src/transfer/index.js";

export interface ConversionRig extends AsyncDisposable {
  readonly folder: string;
  /** Files without a name are the only ones that may come into being here. */
  readonly scratch: string;
  convert(request: ConversionRequest): Promise<ConvertReport>;
}

export interface ConversionRequest
  extends Partial<
    Pick<ConvertImageOptions, "platforms" | "recordFolder" | "workers" | "onEvent" | "signal">
  > {
  readonly from: string;
  readonly to: string;
  readonly layers: Omit<Parameters<typeof layerOptions>[0], "prioritized"> & {
    readonly prioritized?: readonly string[];
  };
}

/** Converts images from place to place, as the command does. */
export async function conversionRig(): Promise<ConversionRig> {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-convert-"));
  const scratch = await mkdtemp(join(folder, "scratch-"));
  const registry = new Registry({ dockerConfigPaths: [] });
  return {
    folder,
    scratch,
    convert: async ({ from, to, layers, ...options }) => {
      const { prioritized, ...rest } = layers;
      await using source = await openImageSource(parseImageLocation(from), { registry });
      await using target = await openImageTarget(parseImageLocation(to), { registry });
      return await convertImage({
        platforms: "all",
        ...options,
        source,
        target,
        scratchFolder: scratch,
        layers: layerOptions({ ...rest, prioritized: prioritized?.map(bytesOfText) }),
      });
    },
    [Symbol.asyncDispose]: async () => {
      await registry.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
