import {
  type IDMapping,
  NamespaceMode,
  type NamespaceOption,
  type UserNamespace,
} from "../../../gen/runtime/v1/api_pb.js";
import { failedPrecondition, invalidArgument } from "../../errors/index.js";
import type { IdMap, LinuxNamespace } from "../../spec/index.js";

export interface UserMappings {
  readonly uids: readonly IdMap[];
  readonly gids: readonly IdMap[];
}

/**
 * The mappings of a user namespace of a pod's own; undefined without one. Each has one line, as snapshots take only that.
 * @throws INVALID_ARGUMENT `userns-invalid`
 */
export function userMappings(options: UserNamespace | undefined): UserMappings | undefined {
  if (options === undefined) return undefined;
  const uids = mapOf(options.uids, "UID");
  const gids = mapOf(options.gids, "GID");
  const mode = NamespaceMode[options.mode] ?? String(options.mode as number);
  if (options.mode === NamespaceMode.NODE) {
    if (uids.length === 0 && gids.length === 0) return undefined;
    throw invalid(
      `can't use user namespace mode "${mode}" with mappings. Got ${uids.length} UID mappings and ${gids.length} GID mappings`,
    );
  }
  if (options.mode !== NamespaceMode.POD) throw invalid(`unsupported user namespace mode: "${mode}"`);
  if (uids.length > 0 && gids.length > 0) return { uids, gids };
  throw invalid(`can't use user namespace mode "${mode}" without UID and GID mappings`);
}

function mapOf(lines: readonly IDMapping[], what: "UID" | "GID"): readonly IdMap[] {
  if (lines.length > 1) {
    throw invalid(`${what} mapping: only one mapping line supported, got ${lines.length} mapping lines`);
  }
  if (lines.some(({ length }) => length < 1)) throw invalid(`${what} mapping: invalid mapping length: 0`);
  return idMaps(lines);
}

export function idMaps(lines: readonly IDMapping[]): readonly IdMap[] {
  return lines.map(({ containerId, hostId, length }) => ({
    containerID: containerId,
    hostID: hostId,
    size: length,
  }));
}

function invalid(problem: string): Error {
  return invalidArgument(`user namespace configuration: ${problem}`, { reason: "userns-invalid" });
}

export interface PodNamespaces {
  readonly options: NamespaceOption | undefined;
  readonly netns: string | undefined;
  readonly userns: string | undefined;
  readonly mappings: UserMappings | undefined;
}

export function podNamespaces(request: PodNamespaces): readonly LinuxNamespace[] {
  const { options, netns, userns, mappings } = request;
  const hasNodeNetwork = isNode(options?.network);
  const network: LinuxNamespace = { type: "network", ...(netns !== undefined && { path: netns }) };
  return [
    ...(isNode(options?.pid) ? [] : [{ type: "pid" } as const]),
    ...(isNode(options?.ipc) ? [] : [{ type: "ipc" } as const]),
    ...(hasNodeNetwork ? [] : [{ type: "uts" } as const]),
    { type: "mount" },
    ...(hasNodeNetwork ? [] : [network]),
    ...(mappings === undefined
      ? []
      : [{ type: "user", ...(userns !== undefined && { path: userns }) } as const]),
  ];
}

/** CRI's default is the pod's. */
export function isNode(mode: NamespaceMode | undefined): boolean {
  return mode === NamespaceMode.NODE;
}

export interface ContainerNamespaces {
  readonly options: NamespaceOption | undefined;
  /** Of the pod's pause process, whose namespaces are the node's where the pod has none of its own. */
  readonly podPid: number;
  readonly targetPid: ((containerId: string) => Promise<number>) | undefined;
  readonly hasUserNamespace: boolean;
  readonly hasCgroupNamespace: boolean;
}

/** @throws FAILED_PRECONDITION `target-missing`, and what targetPid() throws */
export async function containerNamespaces(request: ContainerNamespaces): Promise<readonly LinuxNamespace[]> {
  const { options, podPid, hasUserNamespace, hasCgroupNamespace } = request;
  const ofPod = (name: string) => `/proc/${podPid}/ns/${name}`;
  return [
    await pidNamespace(request),
    { type: "ipc", path: ofPod("ipc") },
    { type: "uts", path: ofPod("uts") },
    { type: "mount" },
    { type: "network", path: ofPod("net") },
    ...(hasCgroupNamespace ? [{ type: "cgroup" } as const] : []),
    ...(hasUserNamespace && options !== undefined ? [{ type: "user", path: ofPod("user") } as const] : []),
  ];
}

async function pidNamespace({ options, podPid, targetPid }: ContainerNamespaces): Promise<LinuxNamespace> {
  if (options?.pid === NamespaceMode.CONTAINER) return { type: "pid" };
  if (options?.pid !== NamespaceMode.TARGET) return { type: "pid", path: `/proc/${podPid}/ns/pid` };
  if (targetPid === undefined) {
    throw failedPrecondition(`invalid target container: container "${options.targetId}" does not exist`, {
      subject: options.targetId,
      reason: "target-missing",
    });
  }
  return { type: "pid", path: `/proc/${await targetPid(options.targetId)}/ns/pid` };
}

/** A container must have the user namespace of its pod. @throws INVALID_ARGUMENT `userns-differs` */
export function checkSameUserNamespace(
  pod: UserNamespace | undefined,
  container: UserNamespace | undefined,
): void {
  if (textOf(pod) === textOf(container)) return;
  throw invalidArgument(
    `user namespace config for sandbox is different from container. Sandbox userns config: ${textOf(pod)} - Container userns config: ${textOf(container)}`,
    { reason: "userns-differs" },
  );
}

function textOf(options: UserNamespace | undefined): string {
  if (options === undefined) return "none";
  const { mode, uids, gids } = options;
  return JSON.stringify({ mode: NamespaceMode[mode], uids: idMaps(uids), gids: idMaps(gids) });
}
