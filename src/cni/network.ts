import type { NetworkList, PluginConf } from "./network-list.js";
import { type CniCommand, findPlugin, runPlugin } from "./run-plugin.js";

/** One interface of one pod in one network. */
export interface NetworkCall {
  readonly network: NetworkList;
  readonly folders: readonly string[];
  readonly id: string;
  /** "" where the namespace is gone: a DEL works without. */
  readonly netns: string;
  readonly interface: string;
  /** CNI_ARGS. */
  readonly args: Readonly<Record<string, string>>;
  /** What the pod wants of plugins that have the capability: portMappings, bandwidth, dns, … */
  readonly capabilities: Readonly<Record<string, unknown>>;
  readonly signal?: AbortSignal | undefined;
}

type Printed = Readonly<Record<string, unknown>>;

/** Runs the plugins in order; each gets the result of the one before. @throws what a plugin throws */
export async function addNetwork(call: NetworkCall): Promise<Printed> {
  let result: Printed | undefined;
  for (const plugin of call.network.plugins) result = await runOne(call, plugin, "ADD", result);
  return result ?? {};
}

/** Runs the plugins in the other order. @throws what a plugin throws */
export async function deleteNetwork(call: NetworkCall, result: Printed | undefined): Promise<void> {
  for (const plugin of call.network.plugins.toReversed()) await runOne(call, plugin, "DEL", result);
}

/** @throws what a plugin throws that finds a pod's network changed */
export async function checkNetwork(call: NetworkCall, result: Printed | undefined): Promise<void> {
  if (call.network.isCheckDisabled || isBefore(call.network.cniVersion, 0, 4)) return;
  for (const plugin of call.network.plugins) await runOne(call, plugin, "CHECK", result);
}

/** Lets the plugins remove what belongs to none of the attachments (SPEC.md "GC", from 1.1.0 on). */
export async function collectNetwork(
  call: Pick<NetworkCall, "network" | "folders" | "signal">,
  valid: readonly { readonly id: string; readonly interface: string }[],
): Promise<void> {
  if (call.network.isCollectionDisabled || isBefore(call.network.cniVersion, 1, 1)) return;
  const attachments = valid.map((one) => ({ containerID: one.id, ifname: one.interface }));
  for (const plugin of call.network.plugins) {
    await runPlugin({
      type: plugin.type,
      folders: call.folders,
      command: "GC",
      environment: {},
      conf: { ...confOf(call.network, plugin), "cni.dev/valid-attachments": attachments },
      signal: call.signal,
    });
  }
}

/** @throws NOT_FOUND for a plugin that is not there; what a plugin says that is not ready (from 1.1.0 on) */
export async function networkStatus(
  call: Pick<NetworkCall, "network" | "folders" | "signal">,
): Promise<void> {
  const isTold = !isBefore(call.network.cniVersion, 1, 1);
  for (const plugin of call.network.plugins) {
    if (!isTold) {
      await findPlugin(plugin.type, call.folders);
      continue;
    }
    const conf = confOf(call.network, plugin);
    const { folders, signal } = call;
    await runPlugin({ type: plugin.type, folders, command: "STATUS", environment: {}, conf, signal });
  }
}

async function runOne(
  call: NetworkCall,
  plugin: PluginConf,
  command: CniCommand,
  previous: Printed | undefined,
): Promise<Printed> {
  const runtimeConfig = Object.fromEntries(
    Object.entries(call.capabilities).filter(([name]) => plugin.capabilities?.[name] === true),
  );
  return await runPlugin({
    type: plugin.type,
    folders: call.folders,
    command,
    environment: {
      CNI_CONTAINERID: call.id,
      CNI_NETNS: call.netns,
      CNI_IFNAME: call.interface,
      CNI_ARGS: Object.entries(call.args)
        .map(([key, value]) => `${key}=${value}`)
        .join(";"),
    },
    conf: {
      ...confOf(call.network, plugin),
      ...(Object.keys(runtimeConfig).length > 0 ? { runtimeConfig } : {}),
      ...(previous === undefined ? {} : { prevResult: previous }),
    },
    signal: call.signal,
  });
}

/** A plugin's config as it is run: the network's name and version, without what is for the runtime alone. */
function confOf({ name, cniVersion }: NetworkList, plugin: PluginConf): Record<string, unknown> {
  const { capabilities: _, ...conf } = plugin;
  return { ...conf, name, cniVersion };
}

function isBefore(version: string, major: number, minor: number): boolean {
  const [ownMajor = 0, ownMinor = 0] = version.split(".").map(Number);
  return ownMajor < major || (ownMajor === major && ownMinor < minor);
}
