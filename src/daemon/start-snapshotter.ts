import type { ConnectRouter } from "@connectrpc/connect";
import {
  type GrpcServer,
  nodeService,
  serveGrpc,
  snapshotsService,
  snapshotsServiceOf,
  tracesService,
} from "../services/index.js";
import { healthService } from "../snapshotter-kit/index.js";
import { budgetRows } from "./budget-rows.js";
import type { Config } from "./config-keys.js";
import { SNAPSHOTTER_LAZY_NAME } from "./config-snapshotters.js";
import { findSnapshotter } from "./find-snapshotter.js";
import type { Metrics } from "./metrics.js";
import { serveMetrics } from "./metrics-server.js";
import { ladderOf } from "./mount-ladder.js";
import { type NodeParts, startNodeParts } from "./node-parts.js";
import type { Running } from "./run-server.js";
import { type ServedSnapshotter, startOwnSnapshotters } from "./served-snapshotters.js";
import { Startup } from "./startup.js";

export interface StartSnapshotterOptions {
  readonly config: Config;
  readonly version: string;
  readonly metrics: Metrics;
  /** For the variables of systemd. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  readonly isTakeover?: boolean;
}

/** Builds the snapshotter from the config, part by part in this order. @throws what a part throws, with all stopped */
export async function startSnapshotter(options: StartSnapshotterOptions): Promise<Running> {
  const startup = new Startup();
  try {
    const { engine, rehearse } = await startParts(startup, options);
    return { rung: engine.rung.kind, rehearse, stop: () => startup.stop() };
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
  const served = await startOwnSnapshotters(startup, { config, ...parts, lazyName: SNAPSHOTTER_LAZY_NAME });
  for (const { name, snapshotter, address } of served) {
    if (address === undefined) continue;
    await startup.part(
      `socket of ${name}`,
      () => serveOn(config, address, [snapshotsService(snapshotter)]),
      (server) => server.close(),
    );
  }
  const server = await startup.part(
    "socket",
    () => serveShared({ ...options, ...parts, served }),
    (server) => server.close(),
  );
  const { address } = config.metrics;
  await startup.part(
    "metrics",
    () => (address === undefined ? undefined : serveMetrics({ address, metrics, isReady: server.isReady })),
    (served) => served?.[Symbol.asyncDispose](),
  );
  return parts;
}

/** The socket of `lazuli` commands, and of all snapshotters that have none of their own. */
async function serveShared(
  parts: StartSnapshotterOptions & NodeParts & { readonly served: readonly ServedSnapshotter[] },
): Promise<GrpcServer & { isReady: () => boolean }> {
  const { config, version, metrics, engine, snapshotter } = parts;
  const counters = (): Readonly<Record<string, number>> => metrics.totals();
  const replays = () => engine.figures.replays;
  const ladder = ladderOf(engine);
  const budgets = () => budgetRows(parts);
  const node = nodeService({ version, engine, snapshotter, ladder, counters, replays, budgets });
  const shared = parts.served.filter(({ address }) => address === undefined);
  const server = await serveOn(config, config.snapshotter.address, [
    sharedSnapshots(shared),
    node,
    tracesService(parts.traces),
  ]);
  let isReady = true;
  return {
    isReady: () => isReady,
    close: async () => {
      isReady = false;
      await server.close();
    },
  };
}

/** One alone takes any name, since containerd's config says what it calls a plugin; several are told apart by it. */
function sharedSnapshots(served: readonly ServedSnapshotter[]): (router: ConnectRouter) => void {
  const [only] = served;
  if (only !== undefined && served.length === 1) return snapshotsService(only.snapshotter);
  const byName = new Map(served.map(({ name, snapshotter }) => [name, snapshotter]));
  return snapshotsServiceOf((name) => findSnapshotter(byName, name));
}

async function serveOn(
  config: Config,
  socketPath: string,
  routes: readonly ((router: ConnectRouter) => void)[],
): Promise<GrpcServer> {
  return await serveGrpc({
    socketPath,
    mode: 0o600,
    routes: [...routes, healthService()],
    closeTimeoutMs: config.snapshotter.stopTimeoutMs,
  });
}
