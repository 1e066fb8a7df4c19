import { delay } from "../async/index.js";
import { LazuliError } from "../errors/index.js";
import type { Metadata } from "../metadata/index.js";
import { log } from "../observe/index.js";
import { createProxySnapshotter, type ProxySnapshotter } from "../snapshotters/index.js";
import { currentCall } from "./call-context.js";
import type { Config } from "./config-keys.js";
import { proxied } from "./proxied-parts.js";
import type { ServedSnapshotter } from "./served-snapshotters.js";
import { recordKind } from "./snapshotter-kinds.js";
import type { Startup } from "./startup.js";

/** Pause between two looks at whether a plugin answers; what changed is told in the log. */
const CHECK_PAUSE_MS = 15_000;

/** In a containerd, what no image leads to is collected unless it has this label. */
const heldLabels = { "containerd.io/gc.root": "lazuli" } as const;

interface Proxied {
  readonly name: string;
  readonly address: string;
  readonly snapshotter: ProxySnapshotter;
}

/** Opens clients of the snapshotters that the config plugs in. They need not run yet. */
export async function startProxiedSnapshotters(
  startup: Startup,
  { config, metadata }: { readonly config: Config; readonly metadata: Metadata },
): Promise<ServedSnapshotter[]> {
  const served: ServedSnapshotter[] = [];
  for (const [name, plugin] of proxied(config, "snapshot")) {
    await recordKind(metadata, name, "proxy");
    const { address, capabilities } = plugin;
    const snapshotter = await startup.part(
      `snapshotter ${name}`,
      () => openProxied(name, plugin),
      (opened) => opened.close(),
    );
    await startup.part(
      `checks of snapshotter ${name}`,
      () => startChecks({ name, address, snapshotter }),
      (checks) => checks[Symbol.asyncDispose](),
    );
    const exports = { ...plugin.exports, address };
    served.push({ name, isLazy: false, snapshotter, address: undefined, plugin: { capabilities, exports } });
  }
  return served;
}

function openProxied(name: string, plugin: Config["proxyPlugins"][string]): ProxySnapshotter {
  const { address, snapshotter = name, namespace, connectTimeoutMs, callTimeoutMs } = plugin;
  return createProxySnapshotter({
    address,
    name: snapshotter,
    context: namespace === undefined ? currentCall : () => ({ namespace }),
    addedLabels: namespace === undefined ? {} : heldLabels,
    connectTimeoutMs,
    callTimeoutMs,
  });
}

/** Looks from time to time whether a plugin answers, and tells in the log when that changes. */
function startChecks(proxied: Proxied): AsyncDisposable {
  const ending = new AbortController();
  const ended = checkForEver(proxied, ending.signal);
  return {
    [Symbol.asyncDispose]: async () => {
      ending.abort();
      await ended;
    },
  };
}

async function checkForEver({ name, address, snapshotter }: Proxied, signal: AbortSignal): Promise<void> {
  let lastFailure: string | undefined = "";
  while (!signal.aborted) {
    try {
      await snapshotter.checkHealth({ signal });
      if (lastFailure !== undefined) log.info("A plugged-in snapshotter serves", { name, address });
      lastFailure = undefined;
    } catch (thrown) {
      if (signal.aborted) return;
      const { message, code, reason, hint } = LazuliError.from(thrown);
      if (lastFailure !== reason) {
        log.warn("A plugged-in snapshotter does not serve", { name, address, error: message, code, hint });
      }
      lastFailure = reason ?? code;
    }
    // The end comes as an abort of the wait.
    await delay(CHECK_PAUSE_MS, { signal }).catch(() => undefined);
  }
}
