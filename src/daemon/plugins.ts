import { join } from "node:path";
import { type ConnectRouter, createConnectRouter } from "@connectrpc/connect";
import type { PluginFacts } from "../services/index.js";
import type { Config } from "./config-keys.js";
import { type KnownPlugin, knownPlugins } from "./plugin-table.js";
import { type ProxiedKind, proxied, proxiedTypes } from "./proxied-parts.js";
import type { ServedSnapshotter } from "./served-snapshotters.js";

export interface PluginsOptions {
  readonly config: Config;
  readonly served: readonly ServedSnapshotter[];
  /** Names of the sandbox controllers. */
  readonly controllers: readonly string[];
  readonly routes: readonly ((router: ConnectRouter) => void)[];
  /** What a part tells of itself, by its type. */
  readonly info: Readonly<Record<string, NonNullable<PluginFacts["info"]>>>;
}

/** As containerd names it in `podsandbox`'s case only. */
const POD_SANDBOX = "podsandbox";
const CONTROLLER_REQUIRES = ["io.containerd.shim.v1", "io.containerd.event.v1"];
const NONE = { capabilities: [], exports: {} } as const;

/** What clients look for: the kinds of parts that are served, under containerd's words for them. */
export function pluginsOf(options: PluginsOptions): PluginFacts[] {
  const { config, served, controllers, routes } = options;
  const platforms = [nodePlatform()];
  const services = servedServices(routes);
  const plugged = new Set(proxied(config, "sandbox").map(([name]) => name));
  const known = knownPlugins
    .filter(({ service }) => service === undefined || services.has(service))
    .map((plugin) => factsOf(plugin, options));
  const contents = others("content", config);
  return [
    ...(contents.length > 0 ? contents : [ownContent(config)]),
    ...served.map(({ name, plugin }) => ({
      type: "io.containerd.snapshotter.v1",
      id: name,
      platforms,
      ...plugin,
    })),
    ...known,
    ...others("diff", config),
    ...others("sandbox", config),
    ...controllers
      .filter((id) => !plugged.has(id))
      .map((id) => ({
        type:
          id === POD_SANDBOX
            ? "io.containerd.podsandbox.controller.v1"
            : "io.containerd.sandbox.controller.v1",
        id,
        requires: CONTROLLER_REQUIRES,
        ...NONE,
      })),
  ];
}

function ownContent(config: Config): PluginFacts {
  return {
    type: proxiedTypes.content,
    id: "content",
    capabilities: [],
    exports: { root: join(config.root, "content") },
  };
}

/** Of one kind, as their config says. */
function others(kind: ProxiedKind, config: Config): PluginFacts[] {
  return proxied(config, kind).map(([id, { address, capabilities, exports }]) => ({
    type: proxiedTypes[kind],
    id,
    capabilities,
    exports: { ...exports, address },
  }));
}

function servedServices(routes: PluginsOptions["routes"]): Set<string> {
  const router = createConnectRouter();
  for (const route of routes) route(router);
  return new Set(router.handlers.map(({ service }) => service.typeName));
}

function factsOf(known: KnownPlugin, { config, info }: PluginsOptions): PluginFacts {
  const { type, id, requires = [], isNative = false, capabilities = [] } = known;
  const told = info[type];
  return {
    type,
    id,
    requires,
    capabilities,
    platforms: isNative ? [nodePlatform()] : [],
    exports: exportsOf(type, config),
    ...(told === undefined ? {} : { info: told }),
  };
}

function exportsOf(type: string, { gc, content, root }: Config): Record<string, string> {
  switch (type) {
    case "io.containerd.gc.v1":
      return {
        PauseThreshold: String(gc.pauseThreshold),
        DeletionThreshold: String(gc.deletionThreshold),
        MutationThreshold: String(gc.mutationThreshold),
        ScheduleDelay: `${gc.scheduleDelayMs}ms`,
      };
    case "io.containerd.metadata.v1":
      return { policy: content.sharingPolicy, path: join(root, "metadata") };
    default:
      return {};
  }
}

/** In the words of OCI images. */
function nodePlatform(): { readonly os: string; readonly architecture: string } {
  return { os: "linux", architecture: process.arch === "x64" ? "amd64" : process.arch };
}
