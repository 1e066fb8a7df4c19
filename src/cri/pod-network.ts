import { randomUUID } from "node:crypto";
import { statfs } from "node:fs/promises";
import { join } from "node:path";
import {
  NamespaceMode,
  type PodSandboxConfig,
  Protocol,
  type UserNamespace,
} from "../../gen/runtime/v1/api_pb.js";
import { type Cni, type CniResult, openCni, pinNamespaces, unpinNamespace } from "../cni/index.js";
import { failedPrecondition, invalidArgument, LazuliError } from "../errors/index.js";
import type { NativeBinding } from "../fuse/index.js";
import { log } from "../observe/index.js";
import type { PodRecord, RuntimeHandler, RuntimeHandlers } from "./contract.js";
import { parseBandwidth } from "./pod-quantity.js";

export type AddressPreference = "ipv4" | "ipv6" | "cni";

export interface PodNetworksOptions {
  readonly binding: Pick<NativeBinding, "mount" | "umount">;
  readonly handlers: RuntimeHandlers;
  readonly confFolder: string;
  readonly pluginFolders: readonly string[];
  readonly confMax: number;
  /** Where the results are kept that a DEL needs. */
  readonly stateFolder: string;
  /** Where network namespaces are bound. */
  readonly netnsFolder: string;
  readonly preference: AddressPreference;
}

/** `statfs(2)` of a pinned namespace. */
const NSFS_MAGIC = 0x6e736673;
/** Burst of a limited interface: as containerd has it, no limit. */
const BURST_MAX = 0xffff_ffff;
/** Of K8s pods, to plugins that want them. */
const ANNOTATIONS_CAPABILITY = "io.kubernetes.cri.pod-annotations";

/** Networks of pods, by the plugins of their runtime handler, and the namespaces they live in. */
export class PodNetworks {
  readonly #options: PodNetworksOptions;
  readonly #default: Cni;
  readonly #ofHandlers = new Map<string, Cni>();

  constructor(options: PodNetworksOptions) {
    this.#options = options;
    this.#default = this.#open({});
    for (const handler of options.handlers.all) {
      if (handler.cniConfFolder !== undefined) this.#ofHandlers.set(handler.name, this.#open(handler));
    }
  }

  get default(): Cni {
    return this.#default;
  }

  /** With the names that a status has them under. */
  get all(): readonly { readonly name: string; readonly cni: Cni }[] {
    const others = [...this.#ofHandlers].map(([name, cni]) => ({ name, cni }));
    return [{ name: "default", cni: this.#default }, ...others];
  }

  /** Where a pod's namespace will be; undefined on the host's network. */
  newNetns(config: PodSandboxConfig): string | undefined {
    return isHostNetwork(config) ? undefined : join(this.#options.netnsFolder, `cni-${randomUUID()}`);
  }

  /** @throws FAILED_PRECONDITION; INVALID_ARGUMENT for user namespaces that can't be had */
  async pin(record: PodRecord): Promise<void> {
    const { binding } = this.#options;
    if (record.netns === undefined) return;
    const user = userRanges(record.config);
    await pinNamespaces({
      binding,
      network: record.netns,
      ...(user === undefined || record.userns === undefined
        ? {}
        : { user: { path: record.userns, ...user } }),
    });
  }

  /** Safe to call again. */
  async unpin(record: PodRecord): Promise<void> {
    const { binding } = this.#options;
    for (const path of [record.netns, record.userns]) {
      if (path !== undefined) await unpinNamespace({ binding, path });
    }
  }

  /** @throws what plugins throw, with all undone; FAILED_PRECONDITION `pod-address-missing` */
  async add(
    record: PodRecord,
    { signal }: { readonly signal: AbortSignal },
  ): Promise<Pick<PodRecord, "addresses" | "cniResult">> {
    if (record.netns === undefined) return { addresses: [], cniResult: undefined };
    const result = await this.#of(record).add({ ...attachmentOf(record), netns: record.netns, signal });
    const addresses = orderedAddresses(result, this.#options.preference);
    if (addresses.length > 0) return { addresses, cniResult: result.raw };
    throw failedPrecondition(`failed to find network info for sandbox ${JSON.stringify(record.id)}`, {
      subject: record.id,
      reason: "pod-address-missing",
    });
  }

  /** Safe to call again, also when the namespace is gone. @throws what a plugin throws whose ADD had succeeded */
  async remove(
    record: PodRecord,
    { signal }: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<void> {
    if (record.netns === undefined) return;
    // What remains of a namespace after a reboot is a plain file, if anything.
    const netns = (await isPinned(record.netns)) ? record.netns : "";
    try {
      await this.#of(record).remove({ ...attachmentOf(record), netns, signal });
    } catch (thrown) {
      if (record.cniResult !== undefined) throw thrown;
      log.warn("Could not remove a network that never was complete", {
        pod: record.id,
        error: LazuliError.from(thrown).message,
      });
    }
  }

  /** Removes what others left. */
  async collect(records: readonly PodRecord[]): Promise<void> {
    const ids = new Set(records.map(({ id }) => id));
    for (const { cni } of this.all) await cni.collect({ ids });
  }

  #of({ runtimeHandler }: PodRecord): Cni {
    return this.#ofHandlers.get(runtimeHandler) ?? this.#default;
  }

  #open({ name, cniConfFolder, cniConfMax }: Partial<RuntimeHandler>): Cni {
    const { confFolder, pluginFolders, stateFolder, confMax } = this.#options;
    return openCni({
      confFolder: cniConfFolder ?? confFolder,
      pluginFolders,
      stateFolder: join(stateFolder, name ?? "default"),
      confMax: cniConfMax ?? confMax,
    });
  }
}

export function isHostNetwork(config: PodSandboxConfig): boolean {
  return config.linux?.securityContext?.namespaceOptions?.network === NamespaceMode.NODE;
}

/** Whether the namespace is there. */
export async function isPinned(netns: string): Promise<boolean> {
  const found = await statfs(netns).catch(() => undefined); // No file: no namespace.
  return found?.type === NSFS_MAGIC;
}

type Ranges = { readonly containerId: number; readonly hostId: number; readonly size: number }[];

/** Ids of a pod's user namespace; undefined without one. @throws INVALID_ARGUMENT `userns-invalid` */
export function userRanges(config: PodSandboxConfig): { uids: Ranges; gids: Ranges } | undefined {
  const options = config.linux?.securityContext?.namespaceOptions?.usernsOptions;
  if (options === undefined) return undefined;
  const { mode, uids, gids } = options;
  if (mode === NamespaceMode.NODE) {
    if (uids.length + gids.length === 0) return undefined;
    throw usernsInvalid("can't use user namespace mode NODE with mappings");
  }
  if (mode !== NamespaceMode.POD) throw usernsInvalid(`unsupported user namespace mode: ${mode}`);
  return { uids: rangesOf(uids, "uid"), gids: rangesOf(gids, "gid") };
}

function rangesOf(mappings: UserNamespace["uids"], kind: string): Ranges {
  if (mappings.length !== 1) throw usernsInvalid(`want one ${kind} mapping, got ${mappings.length}`);
  return mappings.map(({ containerId, hostId, length }) => {
    if (length === 0) throw usernsInvalid(`a ${kind} mapping must have a length`);
    return { containerId, hostId, size: length };
  });
}

function usernsInvalid(problem: string): LazuliError {
  return invalidArgument(`user namespace configuration: ${problem}`, { reason: "userns-invalid" });
}

/** What plugins are told, in containerd's words. @throws INVALID_ARGUMENT `bandwidth-invalid` */
export function attachmentOf({ id, config }: Pick<PodRecord, "id" | "config">): {
  readonly id: string;
  readonly args: Readonly<Record<string, string>>;
  readonly capabilities: Readonly<Record<string, unknown>>;
} {
  const { metadata, dnsConfig, annotations, linux } = config;
  const portMappings = config.portMappings
    .filter(({ hostPort }) => hostPort > 0)
    .map(({ hostPort, containerPort, protocol, hostIp }) => ({
      hostPort,
      containerPort,
      protocol: Protocol[protocol]?.toLowerCase() ?? "tcp",
      hostIP: hostIp,
    }));
  const bandwidth = bandwidthOf(annotations);
  const cgroupPath = linux?.cgroupParent ?? "";
  const dns = dnsConfig && {
    servers: dnsConfig.servers,
    searches: dnsConfig.searches,
    options: dnsConfig.options,
  };
  return {
    id,
    args: {
      IgnoreUnknown: "1",
      K8S_POD_NAMESPACE: metadata?.namespace ?? "",
      K8S_POD_NAME: metadata?.name ?? "",
      K8S_POD_INFRA_CONTAINER_ID: id,
      K8S_POD_UID: metadata?.uid ?? "",
    },
    capabilities: {
      [ANNOTATIONS_CAPABILITY]: { ...annotations },
      ...(portMappings.length === 0 ? {} : { portMappings }),
      ...(bandwidth === undefined ? {} : { bandwidth }),
      ...(dns === undefined ? {} : { dns }),
      ...(cgroupPath === "" ? {} : { cgroupPath }),
    },
  };
}

function bandwidthOf(annotations: Readonly<Record<string, string>>): Record<string, number> | undefined {
  const limits: Record<string, number> = {};
  for (const direction of ["ingress", "egress"]) {
    const annotation = `kubernetes.io/${direction}-bandwidth`;
    const text = annotations[annotation];
    if (text === undefined) continue;
    limits[`${direction}Rate`] = parseBandwidth(text, annotation);
    limits[`${direction}Burst`] = BURST_MAX;
  }
  return Object.keys(limits).length === 0 ? undefined : limits;
}

/** The pod's addresses, the preferred kind first. */
export function orderedAddresses(result: CniResult, preference: AddressPreference): string[] {
  const all = result.addresses
    .filter((one) => one.interface === undefined || one.interface === "eth0")
    .map(({ address }) => address.replace(/\/.*$/, ""));
  if (preference === "cni") return all;
  const first = all.find((address) => address.includes(":") === (preference === "ipv6"));
  if (first === undefined) return all;
  return [first, ...all.filter((address) => address !== first)];
}
