import { type GrpcServer, nodeService, serveGrpc, snapshotsService } from "../services/index.js";
import type { Config } from "./config-keys.js";
import type { Metrics } from "./metrics.js";
import { serveMetrics } from "./metrics-server.js";
import { ladderOf } from "./mount-ladder.js";
import { type NodeParts, startNodeParts } from "./node-parts.js";
import { Startup } from "./startup.js";

export interface StartSnapshotterOptions {
  readonly config: Config;
  readonly version: string;
  readonly metrics: Metrics;
}

export interface RunningSnapshotter {
  /** How layers are mounted, for people. */
  readonly rung: string;
  /** Ends all parts in reverse: running calls within their time, then bitmaps and metadata. Deletes nothing. */
  stop(): Promise<void>;
}

/** Builds the snapshotter from the config, part by part in this order. @throws what a part throws, with all stopped */
export async function startSnapshotter(options: StartSnapshotterOptions): Promise<RunningSnapshotter> {
  const startup = new Startup();
  try {
    const { engine } = await startParts(startup, options);
    return { rung: engine.rung.kind, stop: () => startup.stop() };
  } catch (thrown) {
    await startup.stop();
    throw thrown;
  }
}

async function startParts(startup: Startup, options: StartSnapshotterOptions): Promise<NodeParts> {
  const { config, metrics } = options;
  const parts = await startNodeParts(startup, {
    ...options,
    address: config.snapshotter.address,
    contentAddress: config.containerd.enabled ? config.containerd.address : undefined,
  });
  const server = await startup.part(
    "socket",
    () => serve({ ...options, ...parts }),
    (served) => served.close(),
  );
  const { address } = config.metrics;
  await startup.part(
    "metrics",
    () => (address === undefined ? undefined : serveMetrics({ address, metrics, isReady: server.isReady })),
    (served) => served?.[Symbol.asyncDispose](),
  );
  return parts;
}

async function serve(
  parts: StartSnapshotterOptions & NodeParts,
): Promise<GrpcServer & { isReady: () => boolean }> {
  const { config, version, metrics, engine, snapshotter } = parts;
  const counters = (): Readonly<Record<string, number>> => metrics.totals();
  const node = nodeService({ version, engine, snapshotter, ladder: ladderOf(engine), counters });
  const server = await serveGrpc({
    socketPath: config.snapshotter.address,
    mode: 0o600,
    routes: [snapshotsService(snapshotter), node],
    closeTimeoutMs: config.snapshotter.stopTimeoutMs,
  });
  let isReady = true;
  return {
    isReady: () => isReady,
    close: async () => {
      isReady = false;
      await server.close();
    },
  };
}
