import type { ConnectRouter } from "@connectrpc/connect";
import { CRI_NAMESPACE } from "../cri/index.js";
import { ContainerTable } from "../metadata/index.js";
import type { NriState } from "../nri/index.js";
import type { TaskManager } from "../runtime/index.js";
import type { CriPartsOptions } from "./cri-base.js";
import { type CriParts, startCri } from "./cri-parts.js";
import { startNri } from "./nri-parts.js";
import type { Startup } from "./startup.js";

export interface PodsOfDaemon {
  /** For clients of containerd's API: NRI sees what they do. */
  readonly tasks: TaskManager;
  readonly routes: readonly ((router: ConnectRouter) => void)[];
}

/** NRI and CRI, each of which has to know of the other. */
export async function startPods(
  startup: Startup,
  options: Omit<CriPartsOptions, "nri" | "devices">,
): Promise<PodsOfDaemon> {
  const { config, metadata, binding, tasks } = options;
  const containers = new ContainerTable({ metadata, now: () => binding.realtimeNanoseconds() });
  let cri: CriParts | undefined;
  // Plugins that come before the pods are known are told of them as the calls come.
  const state = async (): Promise<NriState> => (await cri?.nriState()) ?? { pods: [], containers: [] };
  const { nri, devices, ...known } = await startNri(startup, {
    config,
    version: options.version,
    tasks,
    containerOf: (name) => containers.get(name),
    ...(config.cri.disable ? {} : { cri: { namespace: CRI_NAMESPACE, state } }),
  });
  if (config.cri.disable) return { tasks: known.tasks, routes: [] };
  cri = await startCri(startup, { ...options, nri, devices });
  return { tasks: known.tasks, routes: cri.routes };
}
