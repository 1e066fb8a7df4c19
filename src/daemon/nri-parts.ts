import { type DeviceRegistry, openDeviceRegistry, parseRuntimeJson } from "../cdi/index.js";
import { LazuliError } from "../errors/index.js";
import type { ContainerRow } from "../metadata/index.js";
import {
  type Nri,
  type NriContainer,
  type NriState,
  type NriValidatorOptions,
  openNri,
} from "../nri/index.js";
import { log } from "../observe/index.js";
import type { TaskManager, TaskName } from "../runtime/index.js";
import type { Config } from "./config-keys.js";
import { carryOut, tasksWithPlugins } from "./nri-tasks.js";
import type { Startup } from "./startup.js";

export interface NriPartsOptions {
  readonly config: Pick<Config, "nri" | "nriValidator" | "cdi">;
  readonly version: string;
  readonly tasks: TaskManager;
  /** @throws NOT_FOUND */
  readonly containerOf: (name: TaskName) => ContainerRow;
  /** Namespaces whose containers CRI tells plugins of, and how it does. */
  readonly cri?: { readonly namespace: string; readonly state: () => Promise<NriState> } | undefined;
}

export interface NriParts {
  readonly devices: DeviceRegistry;
  /** Undefined: NRI is disabled. */
  readonly nri: Nri | undefined;
  /** For clients of containerd's API; CRI takes the manager itself. */
  readonly tasks: TaskManager;
}

export async function startNri(startup: Startup, options: NriPartsOptions): Promise<NriParts> {
  const { config, version, tasks, containerOf } = options;
  const devices = openDeviceRegistry({ folders: config.cdi.specDirs });
  if (config.nri.disable) return { devices, nri: undefined, tasks };
  const { pluginPath, pluginConfigPath, registrationTimeoutMs, requestTimeoutMs } = config.nri;
  const open = (socketPath: string | undefined): Promise<Nri> =>
    openNri({
      runtimeName: "lazuli",
      runtimeVersion: version,
      socketPath,
      pluginPath,
      pluginConfigPath,
      registrationTimeoutMs,
      requestTimeoutMs,
      validator: validatorOf(config),
      devices,
      currentState: () => currentState(options),
      onRequest: (request) => carryOut(tasks, request),
    });
  const socketPath = config.nri.disableConnections ? undefined : config.nri.socketPath;
  const nri = await startup.part(
    "NRI",
    async () => {
      try {
        return await open(socketPath);
      } catch (thrown) {
        // A containerd beside us has it: containers matter more than plugins that want to connect.
        if (LazuliError.from(thrown).reason !== "socket-in-use") throw thrown;
        log.warn("NRI plugins can't connect: another runtime has the socket", { socket: socketPath });
        return await open(undefined);
      }
    },
    (opened) => opened.close(),
  );
  return { devices, nri, tasks: tasksWithPlugins({ tasks, nri, containerOf }) };
}

async function currentState({ tasks, containerOf, cri }: NriPartsOptions): Promise<NriState> {
  const { pods, containers } = (await cri?.state()) ?? { pods: [], containers: [] };
  const plain = tasks
    .list()
    .filter(({ namespace }) => namespace !== cri?.namespace)
    .map(({ namespace, id, pid }): NriContainer => {
      const { spec, labels } = containerOf({ namespace, id });
      const parsed = spec === undefined ? {} : (parseRuntimeJson(spec.value) as object);
      return { id, name: id, labels, pid, state: "running", spec: parsed };
    });
  return { pods, containers: [...containers, ...plain] };
}

function validatorOf({ nriValidator: rules }: NriPartsOptions["config"]): NriValidatorOptions | undefined {
  if (!rules.enable) return undefined;
  return {
    rejectHooks: rules.rejectOciHookAdjustment,
    rejectRuntimeDefaultSeccomp: rules.rejectRuntimeDefaultSeccompAdjustment,
    rejectUnconfinedSeccomp: rules.rejectUnconfinedSeccompAdjustment,
    rejectCustomSeccomp: rules.rejectCustomSeccompAdjustment,
    rejectNamespaces: rules.rejectNamespaceAdjustment,
    rejectSysctl: rules.rejectSysctlAdjustment,
    requiredPlugins: rules.requiredPlugins,
    tolerateMissingAnnotation: rules.tolerateMissingPluginsAnnotation ?? "",
  };
}
