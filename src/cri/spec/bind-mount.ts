import { type IDMapping, MountPropagation } from "../../../gen/runtime/v1/api_pb.js";
import { failedPrecondition, invalidArgument } from "../../errors/index.js";
import type { SpecMount } from "../../spec/index.js";
import type { HostMount, SpecHost } from "./contract.js";
import { idMaps } from "./namespaces.js";

/** What CRI's Mount and lazuli's own mounts have in common. */
export interface BindRequest {
  readonly containerPath: string;
  readonly hostPath: string;
  readonly readonly: boolean;
  readonly selinuxRelabel: boolean;
  readonly propagation: MountPropagation;
  readonly recursiveReadOnly: boolean;
  readonly uidMappings: readonly IDMapping[];
  readonly gidMappings: readonly IDMapping[];
}

export interface BindOptions {
  /** "": no SELinux. */
  readonly mountLabel: string;
  readonly hasRecursiveReadOnlyMounts: boolean;
  readonly host: Pick<SpecHost, "hasPath" | "makeFolder" | "realPath" | "mounts" | "relabel">;
}

/**
 * A bind mount of a path of the node, which is made as a folder if it is not there.
 * @throws FAILED_PRECONDITION `mount-not-shared`, `rro-unsupported`; INVALID_ARGUMENT `rro-invalid`, `host-path-invalid`
 */
export async function bindMount(request: BindRequest, options: BindOptions): Promise<SpecMount> {
  const { host, mountLabel } = options;
  const source = await sourceOf(request, host);
  const propagation = propagationOption(request.propagation);
  if (propagation !== "rprivate") await checkShared(source, propagation, host);
  const access = accessOption(request, options);
  if (request.selinuxRelabel && mountLabel !== "") await host.relabel(source, mountLabel);
  return {
    destination: request.containerPath,
    type: "bind",
    source,
    options: ["rbind", propagation, access],
    ...(request.uidMappings.length > 0 && { uidMappings: idMaps(request.uidMappings) }),
    ...(request.gidMappings.length > 0 && { gidMappings: idMaps(request.gidMappings) }),
  };
}

async function sourceOf(
  { hostPath, containerPath }: BindRequest,
  host: BindOptions["host"],
): Promise<string> {
  if (!hostPath.startsWith("/") || hostPath.includes("\0")) {
    throw invalidArgument(
      `failed to mkdir ${JSON.stringify(hostPath)}: want an absolute path to mount on ${containerPath}`,
      { subject: hostPath, reason: "host-path-invalid" },
    );
  }
  try {
    if (!(await host.hasPath(hostPath))) await host.makeFolder(hostPath);
  } catch (cause) {
    throw unusable(`failed to mkdir ${JSON.stringify(hostPath)}`, hostPath, cause);
  }
  try {
    return await host.realPath(hostPath);
  } catch (cause) {
    throw unusable(`failed to resolve symlink ${JSON.stringify(hostPath)}`, hostPath, cause);
  }
}

function unusable(problem: string, hostPath: string, cause: unknown): Error {
  const message = cause instanceof Error ? cause.message : String(cause);
  return failedPrecondition(`${problem}: ${message}`, {
    subject: hostPath,
    reason: "host-path-unusable",
    cause,
  });
}

type Propagation = "rprivate" | "rslave" | "rshared";

/** What this version of CRI does not know counts as private. */
function propagationOption(propagation: MountPropagation): Propagation {
  if (propagation === MountPropagation.PROPAGATION_BIDIRECTIONAL) return "rshared";
  return propagation === MountPropagation.PROPAGATION_HOST_TO_CONTAINER ? "rslave" : "rprivate";
}

async function checkShared(
  path: string,
  wanted: "rslave" | "rshared",
  host: BindOptions["host"],
): Promise<void> {
  const kinds = wanted === "rshared" ? ["shared:"] : ["shared:", "master:"];
  const mount = mountOf(path, await host.mounts());
  if (mount?.propagation.some((field) => kinds.some((kind) => field.startsWith(kind)))) return;
  const what = wanted === "rshared" ? "shared mount" : "shared or slave mount";
  throw failedPrecondition(
    `path ${JSON.stringify(path)} is mounted on ${JSON.stringify(mount?.target ?? "")} but it is not a ${what}`,
    {
      subject: path,
      reason: "mount-not-shared",
      hint: "Run mount --make-rshared on it before the daemon starts",
    },
  );
}

/** The deepest mount above a path; of several at one place the last is on top. */
export function mountOf(path: string, mounts: readonly HostMount[]): HostMount | undefined {
  let best: HostMount | undefined;
  for (const mount of mounts) {
    const isAbove = mount.target === "/" || path === mount.target || path.startsWith(`${mount.target}/`);
    if (isAbove && mount.target.length >= (best?.target.length ?? 0)) best = mount;
  }
  return best;
}

function accessOption(
  request: BindRequest,
  { hasRecursiveReadOnlyMounts }: BindOptions,
): "rro" | "ro" | "rw" {
  const place = `(hostPath=${JSON.stringify(request.hostPath)})`;
  if (!request.recursiveReadOnly) return request.readonly ? "ro" : "rw";
  if (!request.readonly) {
    throw invalidArgument(`recursive read-only mount conflicts with RW mount ${place}`, {
      reason: "rro-invalid",
    });
  }
  if (!hasRecursiveReadOnlyMounts) {
    // The kubelet looks for the word in front.
    throw failedPrecondition(
      `RROUnsupported: runtime handler does not support recursive read-only mounts ${place}`,
      { reason: "rro-unsupported" },
    );
  }
  if (request.propagation !== MountPropagation.PROPAGATION_PRIVATE) {
    const got = MountPropagation[request.propagation] ?? String(request.propagation as number);
    throw invalidArgument(`recursive read-only mount needs private propagation, got "${got}" ${place}`, {
      reason: "rro-invalid",
    });
  }
  return "rro";
}
