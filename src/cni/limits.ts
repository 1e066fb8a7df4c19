/** Longest config file of a network. */
export const CONF_BYTES_MAX = 1024 * 1024;
/** Config files that are looked at in the folder; those behind them are not. */
export const CONF_FILES_MAX = 256;
/** Plugins that one network chains. */
export const PLUGINS_MAX = 32;
/** Longest output of a plugin; one that prints more is stopped. */
export const OUTPUT_BYTES_MAX = 1024 * 1024;
/** Longest wait for one plugin: it may have to wait for an address from far away. */
export const PLUGIN_TIMEOUT_MS = 120_000;
/** Nested values in what a plugin prints or a config holds. */
export const JSON_BUDGET = { maxBytes: 1024 * 1024, maxDepth: 64, maxNodes: 100_000 } as const;
