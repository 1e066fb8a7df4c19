import type { fsck as Fsck } from "./fsck.js";
import type { runServer as RunServer } from "./run-server.js";
import type { startDaemon as StartDaemon } from "./start-daemon.js";
import type { startSnapshotter as StartSnapshotter } from "./start-snapshotter.js";

// Most commands only want to know the config: what it takes to run a daemon would be two thirds of their start.

export const fsck: typeof Fsck = async (options) => await (await import("./fsck.js")).fsck(options);

export const runServer: typeof RunServer = async (options) =>
  await (await import("./run-server.js")).runServer(options);

export const startDaemon: typeof StartDaemon = async (options) =>
  await (await import("./start-daemon.js")).startDaemon(options);

export const startSnapshotter: typeof StartSnapshotter = async (options) =>
  await (await import("./start-snapshotter.js")).startSnapshotter(options);
