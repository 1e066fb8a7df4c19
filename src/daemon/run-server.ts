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
import { takeServiceEnvironment } from "./service-environment.js";

export interface RunOptions {
  readonly config: Config;
  /** The config's file; undefined: defaults. */
  readonly file: string | undefined;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Go on in the place of a lazuli that runs on the same folders. */
  readonly isTakeover?: boolean;
  /** Takes whole lines of the log. */
  readonly write: (line: string) => void;
}

/** What was started, as the process around it sees it. */
export interface Running {
  /** How layers are mounted, for people. */
  readonly rung: string;
  /** To be called once, when nothing else is to be done. */
  rehearse(): void;
  /** Ends all parts in reverse: running calls within their time, then what they wrote. Deletes nothing. */
  stop(): Promise<void>;
}

export interface RunServerOptions extends RunOptions {
  /** Socket that it serves on. */
  readonly address: string;
  readonly start: (options: {
    config: Config;
    version: string;
    metrics: Metrics;
    environment: RunOptions["environment"];
    isTakeover: boolean;
  }) => Promise<Running>;
}

/** Runs a server until SIGTERM or SIGINT. @throws what keeps it from starting */
export async function runServer(options: RunServerOptions): Promise<void> {
  const { config, address } = options;
  const environment = takeServiceEnvironment(options.environment);
  using _log = writeLogs({ ...config.log, write: options.write });
  endOnBugs();
  // Also what whoever started us has left open.
  loadBinding().closeOnExec();
  const version = await buildVersion();
  log.info("Starting", { version, pid: process.pid, config: options.file ?? "defaults", root: config.root });
  const metrics = new Metrics();
  using _feed = feedMetrics(metrics);
  using _process = watchProcess(metrics, version);
  const manager = serviceManager({
    socket: environment.NOTIFY_SOCKET,
    send: (path, data) => loadBinding().sendDatagram(path, data),
  });
  // From here on, so that a signal that comes during the start ends it cleanly when it is done.
  const ended = untilSignal();
  const running = await options.start({
    config,
    version,
    metrics,
    environment,
    isTakeover: options.isTakeover === true,
  });
  log.info("Ready", { address, mount: running.rung });
  manager.ready(`Serving on ${address}, layers are mounted by ${running.rung}`);
  running.rehearse();
  const signal = await ended;
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
