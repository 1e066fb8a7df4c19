import { join } from "node:path";
import { createLayerDiffer, createProxyDiffer, differsInOrder, type LayerDiffer } from "../diff/index.js";
import type { NativeBinding } from "../fuse/index.js";
import { type ActivatedDifferOptions, activatedDiffer } from "./activated-differ.js";
import { type CallContext, currentCall, inCall } from "./call-context.js";
import { OWN_DIFFER } from "./config-diff.js";
import type { Config } from "./config-keys.js";
import { proxied } from "./proxied-parts.js";
import type { Startup } from "./startup.js";
import { streamProcessorsOf } from "./stream-processors.js";

/** The same differ; what lies below it learns from `currentCall` who calls. */
export function differOf(inner: LayerDiffer, context: CallContext): LayerDiffer {
  return {
    apply: (request) => inCall(context, () => inner.apply(request)),
    compare: (request) => inCall(context, () => inner.compare(request)),
  };
}

/** The differs that the config names, in its order. Those of others need not run yet. */
export async function startDiffer(
  startup: Startup,
  options: ActivatedDifferOptions & { readonly config: Config; readonly binding: NativeBinding },
): Promise<LayerDiffer> {
  const { config, binding } = options;
  const plugins = new Map(proxied(config, "diff"));
  const differs: LayerDiffer[] = [];
  for (const name of config.diff.order) {
    const plugin = plugins.get(name);
    if (plugin !== undefined) {
      const { address, namespace, connectTimeoutMs, callTimeoutMs } = plugin;
      const context = namespace === undefined ? currentCall : () => ({ namespace });
      const opened = await startup.part(
        `differ ${name}`,
        () => createProxyDiffer({ address, context, connectTimeoutMs, callTimeoutMs }),
        (differ) => differ.close(),
      );
      differs.push(opened);
    } else if (name === OWN_DIFFER) {
      const own = await startup.part("differ", () =>
        createLayerDiffer({
          binding,
          processors: streamProcessorsOf(config),
          scratch: join(config.root, "diff"),
          now: () => binding.realtimeNanoseconds(),
        }),
      );
      differs.push(activatedDiffer(own, options));
    }
  }
  return differsInOrder(differs);
}
