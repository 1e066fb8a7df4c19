import { join } from "node:path";
import pLimit from "p-limit";
import type { Digest } from "../bytes/index.js";
import { LazuliError } from "../errors/index.js";
import { FileMaps, type OpenLayerEngine, type StartRecorder } from "../layer/index.js";
import { log } from "../observe/index.js";
import {
  findPublished,
  KnownImages,
  LEARNS_WAITING_MAX,
  learntChannel,
  openProfileStore,
  ProfileLearner,
  ProfileReplayer,
  type ProfileStore,
  type ReplayedImage,
} from "../profiles/index.js";
import type { Registry } from "../registry/index.js";
import type { LayerResolver, Resolution } from "../snapshotters/index.js";
import { readTraceFile, traceSavedChannel } from "../traces/index.js";
import type { Config } from "./config-keys.js";
import type { Startup } from "./startup.js";

export interface ProfilePartsOptions {
  readonly config: Config;
  readonly engine: OpenLayerEngine;
  readonly registry: Registry;
}

type Starts = Pick<StartRecorder, "begin" | "removed">;

/** Stand between the snapshotter and what it asks and tells, to hear of images that are about to start. */
export interface ProfileParts {
  readonly resolver: (inner: LayerResolver) => LayerResolver;
  readonly starts: (inner: Starts) => Starts;
}

/** Learns profiles and replays them. */
export async function startProfiles(startup: Startup, options: ProfilePartsOptions): Promise<ProfileParts> {
  const { config, engine } = options;
  const { learn, use } = config.profiles;
  if (!learn && use === "off") return { resolver: (inner) => inner, starts: (inner) => inner };
  const store = await startup.part("profiles", () =>
    openProfileStore({ folder: join(config.root, "profiles") }),
  );
  const files = await startup.part(
    "file maps",
    () => new FileMaps({ root: config.root }),
    (made) => made[Symbol.asyncDispose](),
  );
  const traces = join(config.root, "traces");
  const images = new KnownImages();
  await startup.part(
    "profile learner",
    () => (learn ? learnFromTraces({ store, files, traces, images }) : undefined),
    (learning) => learning?.[Symbol.asyncDispose](),
  );
  const replayer = await startup.part(
    "profile replayer",
    () => (use === "off" ? undefined : openReplayer({ ...options, store, files })),
    (made) => made?.[Symbol.asyncDispose](),
  );
  const isMissing = (layer: Digest): boolean => engine.has(layer) && !engine.status(layer).complete;
  return {
    resolver: (inner) => ({
      resolve: async (request) => {
        const resolution = await inner.resolve(request);
        const image = imageOf(resolution);
        if (image !== undefined) {
          images.told(image);
          replayer?.image(image);
        }
        return resolution;
      },
    }),
    starts: (inner) => ({
      begin: (start) => {
        inner.begin(start);
        const manifest = start.manifest ?? images.manifestOf(start);
        if (start.layers.some(isMissing)) replayer?.image({ ...start, manifest, isHere: true });
      },
      removed: (key) => inner.removed(key),
    }),
  };
}

function imageOf(resolution: Resolution): ReplayedImage | undefined {
  if (resolution.kind !== "layer") return undefined;
  const { request, neighbours, manifest } = resolution;
  const layers = [request, ...neighbours].map(({ digest }) => digest);
  return { reference: request.origin.reference, manifest, layers };
}

function openReplayer(
  options: ProfilePartsOptions & { readonly store: ProfileStore; readonly files: FileMaps },
): ProfileReplayer {
  const { config, engine, registry, store, files } = options;
  const { use, trust: kind, trusted: listed, bytesMax, timeMaxMs } = config.profiles;
  const trust = { kind, listed };
  return new ProfileReplayer({
    engine,
    files,
    store,
    findPublished:
      use === "local"
        ? undefined
        : async ({ reference, manifest }, { signal }) =>
            (await findPublished({ registry, reference, manifest, trust, signal }))?.profile,
    bytesMax,
    timeMaxMs,
  });
}

/** Merges each start that was traced, one after the other and in no hurry. */
function learnFromTraces(parts: {
  readonly store: ProfileStore;
  readonly files: FileMaps;
  /** Folder. */
  readonly traces: string;
  readonly images: KnownImages;
}): AsyncDisposable {
  const { traces, images } = parts;
  const learner = new ProfileLearner(parts);
  const limit = pLimit(1);
  const ended = new AbortController();
  const { signal } = ended;
  const work = async (id: string, reference: string): Promise<void> => {
    try {
      const trace = await readTraceFile(traces, id);
      const layers = trace.layers.map(({ digest }) => digest);
      const manifest = trace.manifest ?? images.manifestOf({ reference, layers });
      await learner.learn({ ...trace, manifest }, { signal });
    } catch (thrown) {
      if (signal.aborted) return;
      log.warn("Cannot learn from a start", { reference, error: LazuliError.from(thrown).message });
      learntChannel.publish({ reference, outcome: "failed", entries: 0 });
    }
  };
  const running = new Set<Promise<void>>();
  const subscription = traceSavedChannel.subscribe(({ id, reference }) => {
    if (limit.pendingCount >= LEARNS_WAITING_MAX) {
      learntChannel.publish({ reference, outcome: "busy", entries: 0 });
      return;
    }
    const task = limit(() => work(id, reference)).finally(() => running.delete(task));
    running.add(task);
  });
  return {
    [Symbol.asyncDispose]: async () => {
      subscription[Symbol.dispose]();
      ended.abort(new DOMException("Nothing is learnt any more", "AbortError"));
      await Promise.all(running);
    },
  };
}
