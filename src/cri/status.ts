import { existsSync } from "node:fs";
import {
  CgroupDriver,
  type StatusRequest,
  type UpdateRuntimeConfigRequest,
} from "../../gen/runtime/v1/api_pb.js";
import { log } from "../observe/index.js";
import type { DeprecationWarning } from "../services/index.js";
import type { NodeCalls, RuntimeHandler, RuntimeHandlers } from "./contract.js";
import type { CriEventQueue } from "./events.js";
import type { PodNetworks } from "./pod-network.js";
import { renderNetworkTemplate } from "./status-template.js";

export interface NodeStatusOptions {
  readonly handlers: RuntimeHandlers;
  readonly defaultRuntime: string;
  readonly networks: PodNetworks;
  readonly events: CriEventQueue;
  readonly version: string;
  readonly deprecations: () => readonly DeprecationWarning[];
  /** Ids of deprecations that are not told. */
  readonly ignoredDeprecations: readonly string[];
  /** For people: the effective configuration. */
  readonly config: unknown;
  readonly confFolder: string;
  readonly confTemplate: string | undefined;
}

/** Of the kubelet's own API, which is none of ours. */
const KUBE_API_VERSION = "0.1.0";
const RUNTIME_API_VERSION = "v1";
const RUNTIME_NAME = "lazuli";

/** What a kubelet asks about the node. */
export function nodeCalls(options: NodeStatusOptions): NodeCalls {
  const { handlers, networks, events, version } = options;
  return {
    version: async () => ({
      version: KUBE_API_VERSION,
      runtimeName: RUNTIME_NAME,
      runtimeVersion: version,
      runtimeApiVersion: RUNTIME_API_VERSION,
    }),
    status: async ({ verbose }: StatusRequest, { signal }) => ({
      status: {
        conditions: [
          { type: "RuntimeReady", status: true },
          await networkCondition(networks, signal),
          deprecationCondition(options),
        ],
      },
      features: { supplementalGroupsPolicy: true, userNamespacesHostNetwork: true },
      runtimeHandlers: handlers.all.flatMap((one) => handlerMessages(one, options.defaultRuntime)),
      ...(verbose ? { info: await verboseInfo(options, signal) } : {}),
    }),
    runtimeConfig: async () => ({ linux: { cgroupDriver: cgroupDriver(options) } }),
    updateRuntimeConfig: async (request, { signal }) => {
      await updateNetwork(options, request, signal);
      return {};
    },
    getContainerEvents: (_request, { signal }) => events.listen({ signal }),
  };
}

async function networkCondition(networks: PodNetworks, signal: AbortSignal) {
  const status = await networks.default.status({ signal });
  const type = "NetworkReady";
  if (status.isReady) return { type, status: true };
  const message = `Network plugin returns error: ${status.problem.message}`;
  return { type, status: false, reason: "NetworkPluginNotReady", message };
}

/** In the words that tools look for. */
function deprecationCondition({ deprecations, ignoredDeprecations }: NodeStatusOptions) {
  const told = deprecations().filter(({ id }) => !ignoredDeprecations.includes(id));
  const type = "ContainerdHasNoDeprecationWarnings";
  if (told.length === 0) return { type, status: true };
  const message = JSON.stringify(Object.fromEntries(told.map(({ id, message }) => [id, message])));
  return { type, status: false, reason: "ContainerdHasDeprecationWarnings", message };
}

/** The default one is there a second time, under the name "". */
function handlerMessages({ name, features }: RuntimeHandler, defaultRuntime: string) {
  const told =
    features === undefined
      ? {}
      : {
          features: {
            recursiveReadOnlyMounts: features.hasRecursiveReadOnlyMounts,
            userNamespaces: features.hasUserNamespaces,
          },
        };
  return [...(name === defaultRuntime ? [{ name: "", ...told }] : []), { name, ...told }];
}

/** As the default runtime has it, else the first that says so; a runtime without the option follows the init system. */
function cgroupDriver({ handlers, defaultRuntime }: NodeStatusOptions): CgroupDriver {
  const wanted = handlers.all.find(({ name }) => name === defaultRuntime) ?? handlers.all[0];
  const isTold = wanted?.options !== undefined;
  const isSystemd = isTold
    ? wanted.table.options["SystemdCgroup"] === true
    : existsSync("/run/systemd/system");
  return isSystemd ? CgroupDriver.SYSTEMD : CgroupDriver.CGROUPFS;
}

async function verboseInfo(options: NodeStatusOptions, signal: AbortSignal): Promise<Record<string, string>> {
  const { networks, config } = options;
  const info: Record<string, string> = { config: JSON.stringify(config) };
  for (const { name, cni } of networks.all) {
    const status = await cni.status({ signal });
    const told = status.isReady ? "OK" : status.problem.message;
    info[`lastCNILoadStatus.${name}`] = told;
    if (name !== "default") continue;
    info["lastCNILoadStatus"] = told;
    if (status.isReady) info["cniconfig"] = JSON.stringify(status.networks);
  }
  return info;
}

/** Writes the network's config from the template, once the node's range of addresses is known. */
async function updateNetwork(
  { networks, confFolder, confTemplate }: NodeStatusOptions,
  { runtimeConfig }: UpdateRuntimeConfigRequest,
  signal: AbortSignal,
): Promise<void> {
  const ranges = runtimeConfig?.networkConfig?.podCidr ?? "";
  if (ranges === "" || confTemplate === undefined) return;
  const status = await networks.default.status({ signal });
  if (status.isReady) return;
  await renderNetworkTemplate({ template: confTemplate, folder: confFolder, ranges });
  log.info("Wrote the network's config from the template", { template: confTemplate, ranges });
}
