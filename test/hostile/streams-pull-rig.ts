import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Digest } from "../../src/bytes/index.js";
import type { LayerRequest } from "../../src/layer/index.js";
import { type PulledWhole, pullWhole } from "../../src/layer/pull-whole.js";
import type { BlobSource } from "../../src/registry/index.js";
import type { EngineRig } from "../../testing/layer/engine-rig.js";
import { binding } from "../fuse/rig.js";
import type { StreamCase } from "./streams-case.js";

const tarType = "application/vnd.oci.image.layer.v1.tar";
export const typesOf: Readonly<Record<StreamCase["codec"], string>> = {
  gzip: `${tarType}+gzip`,
  zstd: `${tarType}+zstd`,
  raw: tarType,
};

export interface Expected {
  readonly mediaType: string;
  readonly diffId?: Digest | undefined;
  readonly signal?: AbortSignal;
}

/** Pulls into a file of a folder. */
export async function pullTo(dataPath: string, source: BlobSource, expected: Expected): Promise<PulledWhole> {
  return await pullWhole({
    syncs: true,
    binding,
    source,
    processing: undefined,
    dataPath,
    mediaType: expected.mediaType,
    diffId: expected.diffId,
    signal: expected.signal ?? new AbortController().signal,
  });
}

/** Calls `use` with a folder that is gone afterwards. */
export async function withFolder<Result>(use: (folder: string) => Promise<Result>): Promise<Result> {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-streams-"));
  try {
    return await use(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** What an engine is asked for where a layer comes whole. */
export function wholeRequest(source: BlobSource, expected: Expected): LayerRequest {
  return {
    digest: source.digest,
    mediaType: expected.mediaType,
    index: { kind: "whole", diffId: expected.diffId },
    openSource: async () => source,
    origin: { reference: "memory.example/hostile:1", size: source.size },
  };
}

/** Folders of layers, finished or not. */
export async function foldersOf(rig: EngineRig): Promise<string[]> {
  return await readdir(join(rig.root, "layers", "v1"));
}
