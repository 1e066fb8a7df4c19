/**
 * The composition root: config, parts in order, logs, metrics, the end.
 *
 *     const { config } = await loadConfig({ file: undefined, environment: process.env, flags: {} });
 */

export { buildVersion } from "./build-version.js";
export { CONFIG_FILE_DEFAULT, type ConfigSources, loadConfig, readConfig } from "./config.js";
export { type Config, type ConfigKey, configKeys } from "./config-keys.js";
export { configPage, defaultConfigText, dumpConfig } from "./config-text.js";
export { configText } from "./config-trim.js";
export type { FindingFacts, FsckOptions, FsckProgress, FsckReport } from "./fsck.js";
export type { FindingKind, FindingSeverity } from "./fsck-finding.js";
export { fsck, runServer, startDaemon, startSnapshotter } from "./loaded-late.js";
export type { RunOptions, RunServerOptions } from "./run-server.js";
