import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadBinding } from "../../src/fuse/index.js";
import { type Metadata, openMetadata } from "../../src/metadata/index.js";
import {
  createLazySnapshotter,
  type LayerRegistry,
  type LayerResolver,
  type LazySnapshotter,
  type LazySnapshotterOptions,
  labelResolver,
} from "../../src/snapshotters/index.js";
import { command } from "../rig/command.js";
import { FakeEngine } from "./fake-engine.js";

const binding = loadBinding();

/** The system's clock, which other programs read too. */
export function nowNanoseconds(): bigint {
  return binding.realtimeNanoseconds();
}

export async function syncFileSystem(folder: string): Promise<void> {
  await command("sync", ["--file-system", folder]);
}

const refuse = async (): Promise<never> => await Promise.reject(new Error("this test has no registry"));

/** Whoever asks it fails. */
export const noRegistry: LayerRegistry = {
  openBlob: refuse,
  fetchManifest: refuse,
  fetchBlobBytes: refuse,
  referrers: refuse,
};

/** A resolver for layers whose labels say everything; opening a blob fails. */
export function labelsOnly(): LayerResolver {
  return labelResolver({
    registry: noRegistry,
    hostContent: undefined,
    soci: undefined,
    wholeBytesMin: undefined,
  });
}

export interface LazyRig {
  readonly folder: string;
  readonly engine: FakeEngine;
  readonly metadata: Metadata;
  readonly snapshotter: LazySnapshotter;
  dispose(): Promise<void>;
}

/** A lazy snapshotter whose engine has no layers. */
export async function openLazySnapshotter(place: {
  readonly root: string;
  readonly metadata: Metadata;
}): Promise<LazySnapshotter> {
  const engine = new FakeEngine(join(place.root, "layers"));
  return await createLazySnapshotter({
    ...place,
    binding,
    engine,
    resolver: labelsOnly(),
    now: nowNanoseconds,
    syncFileSystem,
  });
}

/** A lazy snapshotter on a folder of its own with a fake engine. */
export async function lazyRig(
  options: Partial<Pick<LazySnapshotterOptions, "resolver" | "resolveTimeoutMs" | "layerGraceMs">> & {
    folder?: string;
    engine?: FakeEngine;
  } = {},
): Promise<LazyRig> {
  const folder = options.folder ?? (await mkdtemp(join(tmpdir(), "lazuli-snapshotter-")));
  const engine = options.engine ?? new FakeEngine(join(folder, "layers"));
  const metadata = await openMetadata({ directory: join(folder, "metadata") });
  const { resolver = labelsOnly(), engine: _engine, folder: _folder, ...times } = options;
  const snapshotter = await createLazySnapshotter({
    root: folder,
    binding,
    metadata,
    engine,
    resolver,
    now: nowNanoseconds,
    syncFileSystem,
    ...times,
  });
  return {
    folder,
    engine,
    metadata,
    snapshotter,
    dispose: async () => {
      await snapshotter.close();
      await metadata.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
