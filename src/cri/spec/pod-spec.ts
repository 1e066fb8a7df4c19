import {
  changeLinux,
  changeProcess,
  changeResources,
  type RuntimeSpec,
  type SpecMount,
} from "../../spec/index.js";
import { passedAnnotations, podAnnotations } from "./annotations.js";
import { criBaseSpec, withWritableKernel } from "./base-spec.js";
import { cgroupPath } from "./cgroup-path.js";
import { nodeSysMount } from "./container-mounts.js";
import type { HostFacts, PodSpec, PodSpecRequest } from "./contract.js";
import { isNode, podNamespaces, type UserMappings, userMappings } from "./namespaces.js";
import { processUser } from "./process-user.js";
import { oomScoreAdj } from "./resources.js";
import { seccompOf } from "./security-profiles.js";
import { selinuxLabels } from "./selinux-labels.js";

/** Below all that the kubelet gives containers, so that a pod's pause goes last. */
const POD_OOM_SCORE_ADJ = -998;
/** The least that the kernel takes: pause does nothing. */
const POD_CPU_SHARES = 2;
const closed = ["nosuid", "nodev", "noexec"];

/**
 * The spec of the process that holds a pod's namespaces.
 * @throws INVALID_ARGUMENT, NOT_FOUND and FAILED_PRECONDITION as its parts do
 */
export async function podSpec(request: PodSpecRequest): Promise<PodSpec> {
  const { id, config, args, image, settings, host, runtime } = request;
  const facts = await host.facts();
  const security = config.linux?.securityContext;
  const mappings = userMappings(security?.namespaceOptions?.usernsOptions);
  const labels = selinuxLabels({ options: security?.selinuxOptions, podLabel: "", settings, facts, host });
  const user = processUser({
    security,
    imageUser: image?.user ?? "",
    accounts: request.accounts ?? { passwd: undefined, group: undefined },
    isPod: true,
  });
  const isPrivileged = security?.privileged === true;
  const base = isPrivileged ? withWritableKernel(criBaseSpec(id)) : criBaseSpec(id);
  const { capabilities } = base.process;
  const seccomp = await seccompOf(security, { settings, facts, host, capabilities: capabilities.bounding });
  const hasLabel = labels.process !== "" && !isPrivileged;
  const process = changeProcess(base, {
    args,
    env: image?.env ?? [],
    cwd: image?.workingFolder || "/",
    user,
    oomScoreAdj: oomScoreAdj(POD_OOM_SCORE_ADJ, settings, facts),
    ...(hasLabel && { selinuxLabel: labels.process }),
  });
  const linux = changeLinux(process, {
    namespaces: podNamespaces({
      options: security?.namespaceOptions,
      netns: request.netns,
      userns: request.userns,
      mappings,
    }),
    cgroupsPath: cgroupPath({
      id,
      parent: config.linux?.cgroupParent ?? "",
      isSystemd: runtime.options.SystemdCgroup === true,
    }),
    sysctl: podSysctls(request, { facts, mappings }),
    ...(mappings !== undefined && { uidMappings: mappings.uids, gidMappings: mappings.gids }),
    ...(seccomp !== undefined && { seccomp }),
    ...(labels.mount !== "" && { mountLabel: labels.mount }),
  });
  const spec: RuntimeSpec = {
    ...changeResources(linux, { cpu: { shares: POD_CPU_SHARES } }),
    root: { path: request.rootfsPath, readonly: true },
    // Without a UTS namespace of its own the node's name would change.
    ...(isNode(security?.namespaceOptions?.network) || config.hostname === ""
      ? {}
      : { hostname: config.hostname }),
    mounts: podMounts(base.mounts, request, mappings),
    annotations: {
      ...passedAnnotations(config.annotations, runtime.podAnnotations),
      ...podAnnotations(id, config, request.imageName),
    },
  };
  return { spec, processLabel: labels.process };
}

function podMounts(
  base: readonly SpecMount[],
  { config, files }: PodSpecRequest,
  mappings: UserMappings | undefined,
): readonly SpecMount[] {
  const options = config.linux?.securityContext?.namespaceOptions;
  const shm = isNode(options?.ipc) ? "/dev/shm" : files.shm;
  const isSysBound = isNode(options?.network) && mappings !== undefined;
  const replaced = isSysBound ? ["/dev/shm", "/sys"] : ["/dev/shm"];
  return [
    ...base.filter(({ destination }) => !replaced.includes(destination)),
    { destination: "/dev/shm", type: "bind", source: shm, options: ["rbind", "ro", ...closed] },
    // Runtimes with virtual machines take their names from it.
    {
      destination: "/etc/resolv.conf",
      type: "bind",
      source: files.resolvConf,
      options: ["rbind", "ro", ...closed],
    },
    ...(isSysBound ? [nodeSysMount] : []),
  ];
}

interface SysctlContext {
  readonly facts: HostFacts;
  readonly mappings: UserMappings | undefined;
}

/** The pod's own, and those that let every process of a pod with its own network use low ports and ping. */
function podSysctls({ config, settings }: PodSpecRequest, { facts, mappings }: SysctlContext) {
  const asked = config.linux?.sysctls ?? {};
  if (isNode(config.linux?.securityContext?.namespaceOptions?.network)) return asked;
  const hasPings = settings.enableUnprivilegedIcmp && !facts.isInUserNamespace && mappings === undefined;
  return {
    ...(settings.enableUnprivilegedPorts && { "net.ipv4.ip_unprivileged_port_start": "0" }),
    ...(hasPings && { "net.ipv4.ping_group_range": "0 2147483647" }),
    ...asked,
  };
}
