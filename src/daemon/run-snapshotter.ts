import { LazuliError } from "../errors/index.js";
import { loadBinding } from "../fuse/index.js";
import { log } from "../observe/index.js";
import { buildVersion } from "./build-version.js";
import type { Config } from "./config-keys.js";
import { writeLogs } from "./log-writer.js";
import { Metrics } from "./metrics.js";
import { feedMetrics, watchProcess } from "./metrics-sources.js";
import { endOnBugs, untilSignal } from "./process-end.js";
import { serviceManager } from "./sd-notify.js";
import { startSnapshotter } from "./start-snapshotter.js";

export interface RunSnapshotterOptions {
  readonly config: Config;
  /** The config's file; undefined: defaults. */
  readonly file: string | undefined;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Takes whole lines of the log. */
  readonly write: (line: string) => void;
}

/** Runs the snapshotter until SIGTERM or SIGINT. @throws what keeps it from starting */
export async function runSnapshotter(options: RunSnapshotterOptions): Promise<void> {
  const { config, environment } = options;
  using _log = writeLogs({ ...config.log, write: options.write });
  endOnBugs();
  const version = await buildVersion();
  log.info("Starting", { version, pid: process.pid, config: options.file ?? "defaults", root: config.root });
  const metrics = new Metrics();
  using _feed = feedMetrics(metrics);
  using _process = watchProcess(metrics, version);
  const manager = serviceManager({
    socket: environment.NOTIFY_SOCKET,
    send: (path, data) => loadBinding().sendDatagram(path, data),
  });
  const running = await startSnapshotter({ config, version, metrics });
  log.info("Ready", { address: config.snapshotter.address, mount: running.rung });
  manager.ready(`Serving on ${config.snapshotter.address}, layers are mounted by ${running.rung}`);
  const signal = await untilSignal();
  log.info("Stopping", { signal });
  manager.stopping();
  try {
    await running.stop();
  } catch (thrown) {
    log.error("Cannot stop cleanly", { error: LazuliError.from(thrown).message });
    throw thrown;
  }
  log.info("Stopped");
}
