import { OWN_DIFFER } from "./config-diff.js";
import type { Config } from "./config-keys.js";

export type ProxiedKind = "snapshot" | "content" | "diff" | "sandbox";

type Plugin = Config["proxyPlugins"][string];

const kinds: Readonly<Record<Plugin["type"], ProxiedKind>> = {
  snapshot: "snapshot",
  content: "content",
  diff: "diff",
  sandbox: "sandbox",
  "io.containerd.snapshotter.v1": "snapshot",
  "io.containerd.content.v1": "content",
  "io.containerd.differ.v1": "diff",
  "io.containerd.sandbox.controller.v1": "sandbox",
};

/** containerd's types of parts, by the words for them. */
export const proxiedTypes: Readonly<Record<ProxiedKind, string>> = {
  snapshot: "io.containerd.snapshotter.v1",
  content: "io.containerd.content.v1",
  diff: "io.containerd.differ.v1",
  sandbox: "io.containerd.sandbox.controller.v1",
};

/** The plugins of one kind, by their names. */
export function proxied(config: Config, kind: ProxiedKind): readonly (readonly [string, Plugin])[] {
  return Object.entries(config.proxyPlugins).filter(([, { type }]) => kinds[type] === kind);
}

/** Sandbox controllers that are built in. */
const ownControllers = ["shim", "podsandbox"];

/** What single keys can't say of plugins. */
export function checkProxied(config: Config): readonly string[] {
  const names = (kind: ProxiedKind): string[] => proxied(config, kind).map(([name]) => name);
  const contents = names("content");
  const differs = [OWN_DIFFER, ...names("diff")];
  return [
    ...(contents.length > 1
      ? [`only one plugin can be of type "content", got ${contents.join(" and ")}`]
      : []),
    ...names("diff")
      .filter((name) => name === OWN_DIFFER)
      .map((name) => `[proxy_plugins.${name}] has the name of lazuli's own differ`),
    ...names("sandbox")
      .filter((name) => ownControllers.includes(name))
      .map((name) => `[proxy_plugins.${name}] has the name of one of lazuli's own sandbox controllers`),
    ...config.diff.order
      .filter((name) => !differs.includes(name))
      .map((name) => `diff.default: want names of ${differs.join(", ")}, got "${name}"`),
    ...(config.diff.order.length === 0 ? ["diff.default: want one name at least, got none"] : []),
  ];
}
