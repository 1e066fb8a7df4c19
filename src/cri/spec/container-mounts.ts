import { type ContainerConfig, MountPropagation } from "../../../gen/runtime/v1/api_pb.js";
import type { SpecMount } from "../../spec/index.js";
import { type BindOptions, type BindRequest, bindMount } from "./bind-mount.js";
import { cleanPath } from "./clean-path.js";
import type { PodFiles } from "./contract.js";
import { isNode } from "./namespaces.js";

const DEV_SHM = "/dev/shm";

export interface MountsRequest extends BindOptions {
  readonly base: readonly SpecMount[];
  /** The config's own, which stand above the others. */
  readonly asked: readonly BindRequest[];
  /** The pod's files and the image's volumes. */
  readonly extra: readonly BindRequest[];
  readonly cgroupWritable: boolean;
  readonly hasCgroupNamespace: boolean;
  /** Of the node's mount at /sys/fs/cgroup. */
  readonly cgroupMountOptions: readonly string[];
}

export interface ContainerMounts {
  readonly mounts: readonly SpecMount[];
  readonly rootfsPropagation: "rslave" | "rshared" | undefined;
}

/** The base's mounts that nothing replaces, a cgroup file system, then the bind mounts, parents before what is in them. */
export async function containerMounts(request: MountsRequest): Promise<ContainerMounts> {
  const taken = new Set(request.asked.map(({ containerPath }) => cleanPath(containerPath)));
  const binds = [
    ...request.asked,
    ...request.extra.filter(({ containerPath }) => !taken.has(cleanPath(containerPath))),
  ];
  const ordered = binds
    .map((bind) => ({ bind, depth: depthOf(bind.containerPath) }))
    .sort((left, right) => left.depth - right.depth);
  const mounted: SpecMount[] = [];
  // One after the other: a source may lie in a folder that another one makes.
  for (const { bind } of ordered) mounted.push(await bindMount(bind, request));
  const places = new Set(binds.map(({ containerPath }) => cleanPath(containerPath)));
  const base = [...request.base, cgroupMount(request)].filter(({ destination }) => {
    const place = cleanPath(destination);
    return !places.has(place) && !(places.has("/dev") && place.startsWith("/dev/"));
  });
  const options = new Set(mounted.flatMap((mount) => mount.options));
  const propagation = options.has("rshared") ? "rshared" : options.has("rslave") ? "rslave" : undefined;
  return { mounts: [...base, ...mounted], rootfsPropagation: propagation };
}

function depthOf(path: string): number {
  return cleanPath(path).split("/").length;
}

/**
 * Without a cgroup namespace the mount's options become those of the one file system that all share: what the node has set
 * must stay.
 */
function cgroupMount(request: MountsRequest): SpecMount {
  const kept = request.cgroupMountOptions.filter((option) =>
    ["nsdelegate", "memory_recursiveprot"].includes(option),
  );
  return {
    destination: "/sys/fs/cgroup",
    type: "cgroup",
    source: "cgroup",
    options: [
      ...["nosuid", "noexec", "nodev", "relatime", request.cgroupWritable ? "rw" : "ro"],
      ...(request.hasCgroupNamespace ? [] : kept),
    ],
  };
}

/** The pod's hostname, hosts, resolv.conf and shared memory, as far as they are there and the config does not mount them. */
export async function podFileMounts(
  config: ContainerConfig,
  { files, host }: { readonly files: PodFiles; readonly host: Pick<BindOptions["host"], "hasPath"> },
): Promise<readonly BindRequest[]> {
  const security = config.linux?.securityContext;
  const taken = new Set(config.mounts.map(({ containerPath }) => cleanPath(containerPath)));
  const owners = security?.namespaceOptions?.usernsOptions;
  const file = (containerPath: string, hostPath: string): BindRequest => ({
    containerPath,
    hostPath,
    readonly: security?.readonlyRootfs ?? false,
    selinuxRelabel: true,
    propagation: MountPropagation.PROPAGATION_PRIVATE,
    recursiveReadOnly: false,
    uidMappings: owners?.uids ?? [],
    gidMappings: owners?.gids ?? [],
  });
  const hasNodeIpc = isNode(security?.namespaceOptions?.ipc);
  const all: readonly BindRequest[] = [
    file("/etc/hostname", files.hostname),
    file("/etc/hosts", files.hosts),
    file("/etc/resolv.conf", files.resolvConf),
    {
      ...file(DEV_SHM, hasNodeIpc ? DEV_SHM : files.shm),
      readonly: false,
      selinuxRelabel: !hasNodeIpc,
      // An empty tmpfs whose mode lets everyone write; kernels before 6.3 can't map its owners.
      uidMappings: [],
      gidMappings: [],
    },
  ];
  const wanted = all.filter(({ containerPath }) => !taken.has(containerPath));
  const found = await Promise.all(wanted.map(({ hostPath }) => host.hasPath(hostPath)));
  return wanted.filter((_, index) => found[index]);
}

/** Of the node's: in a user namespace with the node's network the kernel refuses a sysfs of one's own. */
export const nodeSysMount: SpecMount = {
  destination: "/sys",
  type: "bind",
  source: "/sys",
  options: ["rbind", "rro", "nosuid", "nodev", "noexec"],
};
