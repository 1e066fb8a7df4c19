import { devicesOfAnnotations } from "../../cdi/index.js";
import { failedPrecondition, invalidArgument } from "../../errors/index.js";
import {
  capabilitySets,
  changeLinux,
  changeProcess,
  type LinuxSpec,
  type ProcessSpec,
  type RuntimeSpec,
} from "../../spec/index.js";
import { containerAnnotations, passedAnnotations, refuseResourceClasses } from "./annotations.js";
import { criBaseSpec, customBaseSpec, withWritableKernel } from "./base-spec.js";
import type { BindRequest } from "./bind-mount.js";
import { changedCapabilities } from "./capability-changes.js";
import { cgroupPath } from "./cgroup-path.js";
import { containerDevices } from "./container-devices.js";
import { containerMounts, nodeSysMount, podFileMounts } from "./container-mounts.js";
import { containerArgs, containerEnvironment, workingFolder } from "./container-process.js";
import type { ContainerSpec, ContainerSpecRequest, HostFacts } from "./contract.js";
import { declaredVolumes, withImage } from "./image-volumes.js";
import {
  checkSameUserNamespace,
  containerNamespaces,
  isNode,
  type UserMappings,
  userMappings,
} from "./namespaces.js";
import { processUser } from "./process-user.js";
import { changedResources, oomScoreAdj } from "./resources.js";
import { apparmorOf, seccompOf } from "./security-profiles.js";
import { type SelinuxLabels, selinuxLabels } from "./selinux-labels.js";

interface Parts {
  readonly request: ContainerSpecRequest;
  readonly base: RuntimeSpec;
  readonly facts: HostFacts;
  readonly labels: SelinuxLabels;
  readonly mappings: UserMappings | undefined;
  readonly isPrivileged: boolean;
  readonly hasCgroupNamespace: boolean;
}

/**
 * The spec of a container. Folders that its mounts need are made on the node, and its image volumes are mounted.
 * @throws INVALID_ARGUMENT, NOT_FOUND and FAILED_PRECONDITION as its parts do
 */
export async function containerSpec(request: ContainerSpecRequest): Promise<ContainerSpec> {
  const { id, config, runtime, host, pod } = request;
  const security = config.linux?.securityContext;
  const isPrivileged = security?.privileged ?? false;
  if (isPrivileged && pod.config.linux?.securityContext?.privileged !== true) {
    throw invalidArgument("no privileged container allowed in sandbox", { reason: "privileged-refused" });
  }
  const facts = await host.facts();
  const mappings = userMappings(security?.namespaceOptions?.usernsOptions);
  checkSameUserNamespace(
    pod.config.linux?.securityContext?.namespaceOptions?.usernsOptions,
    security?.namespaceOptions?.usernsOptions,
  );
  refuseClasses(request);
  const labels = selinuxLabels({
    options: security?.selinuxOptions,
    podLabel: pod.processLabel,
    settings: request.settings,
    facts,
    host,
  });
  const usual = runtime.baseSpec === undefined ? criBaseSpec(id) : customBaseSpec(id, runtime.baseSpec);
  const base = isPrivileged ? opened(usual) : usual;
  // As in Kubernetes' KEP on cgroup v2: privileged containers see the node's cgroups.
  const hasCgroupNamespace = facts.hasCgroupV2 && !isPrivileged;
  const parts: Parts = { request, base, facts, labels, mappings, isPrivileged, hasCgroupNamespace };
  const cdiDevices = cdiNames(request);
  const volumes = request.settings.ignoreImageDefinedVolumes
    ? []
    : declaredVolumes(request.imageConfig.volumes, { config, folder: request.volumesFolder });
  const process = changeProcess(base, await processPart(parts));
  const linux = changeLinux(process, await linuxPart(parts, process.process));
  const spec = await withMounts(linux, parts, volumes);
  return {
    spec,
    cdiDevices,
    volumes: volumes.map(({ hostPath, containerPath }) => ({ hostPath, containerPath })),
    processLabel: labels.process,
  };
}

function refuseClasses({ config, pod, settings }: ContainerSpecRequest): void {
  refuseResourceClasses({
    containerName: config.metadata?.name ?? "",
    annotations: config.annotations,
    podAnnotations: pod.config.annotations,
    settings,
  });
}

async function processPart({
  request,
  base,
  facts,
  labels,
  isPrivileged,
}: Parts): Promise<Partial<ProcessSpec>> {
  const { config, imageConfig, host, settings, pod } = request;
  const security = config.linux?.securityContext;
  const hostname = pod.config.hostname === "" ? await host.hostname() : pod.config.hostname;
  const apparmor = await apparmorOf(security, { settings, facts, host });
  const resources = config.linux?.resources;
  return {
    ...(config.tty && { terminal: true }),
    user: processUser({ security, imageUser: imageConfig.user, accounts: request.accounts, isPod: false }),
    args: containerArgs(config, imageConfig),
    env: containerEnvironment({ config, image: imageConfig, hostname, base: base.process.env }),
    cwd: workingFolder(config, imageConfig),
    capabilities: isPrivileged
      ? capabilitySets(facts.capabilities)
      : changedCapabilities(base.process.capabilities, security?.capabilities, facts.capabilities),
    noNewPrivileges: security?.noNewPrivs ?? false,
    ...(apparmor !== undefined && { apparmorProfile: apparmor }),
    ...(labels.process !== "" && !isPrivileged && { selinuxLabel: labels.process }),
    ...(resources !== undefined && {
      oomScoreAdj: oomScoreAdj(Number(resources.oomScoreAdj), settings, facts),
    }),
  };
}

async function linuxPart(parts: Parts, process: ProcessSpec): Promise<Partial<LinuxSpec>> {
  const { request, base, facts, labels, mappings, isPrivileged, hasCgroupNamespace } = parts;
  const { id, config, pod, settings, host, runtime } = request;
  const security = config.linux?.securityContext;
  const capabilities = process.capabilities.bounding;
  const seccomp = await seccompOf(security, { settings, facts, host, capabilities });
  const { devices, rules } = await devicesPart(parts);
  const resources = changedResources(
    { ...base.linux.resources, devices: rules },
    { resources: config.linux?.resources, settings, facts },
  );
  return {
    namespaces: await containerNamespaces({
      options: security?.namespaceOptions,
      podPid: pod.pid,
      targetPid: request.targetPid,
      hasUserNamespace: mappings !== undefined,
      hasCgroupNamespace,
    }),
    cgroupsPath: cgroupPath({
      id,
      parent: pod.config.linux?.cgroupParent ?? "",
      isSystemd: runtime.options.SystemdCgroup === true,
    }),
    resources,
    ...(devices.length > 0 && { devices }),
    ...(mappings !== undefined && { uidMappings: mappings.uids, gidMappings: mappings.gids }),
    ...(seccomp !== undefined && { seccomp }),
    ...(labels.mount !== "" && { mountLabel: labels.mount }),
    ...(!settings.disableProcMount &&
      !isPrivileged && {
        maskedPaths: security?.maskedPaths ?? [],
        readonlyPaths: security?.readonlyPaths ?? [],
      }),
  };
}

/** A privileged container gets the node's devices by default, and may use all that it makes itself. */
async function devicesPart({ request, base, isPrivileged }: Parts) {
  const { config, settings, host, runtime } = request;
  const asked = await containerDevices({ config, settings, host });
  const devices = [...(base.linux.devices ?? []), ...asked.devices];
  const rules = [...(base.linux.resources.devices ?? []), ...asked.rules];
  if (!isPrivileged) return { devices, rules };
  const all = [{ allow: true, access: "rwm" }];
  if (runtime.privilegedWithoutHostDevices !== true) {
    return { devices: [...devices, ...(await host.devices("/dev"))], rules: all };
  }
  return { devices, rules: runtime.privilegedWithoutHostDevicesAllDevicesAllowed === true ? all : rules };
}

async function withMounts(
  spec: RuntimeSpec,
  parts: Parts,
  volumes: readonly BindRequest[],
): Promise<RuntimeSpec> {
  const { request, facts, labels, mappings, isPrivileged, hasCgroupNamespace } = parts;
  const { config, pod, host, runtime, mountImage } = request;
  const asked: BindRequest[] = [];
  for (const mount of config.mounts) asked.push(await withImage(mount, { mountImage, host }));
  const files = await podFileMounts(config, { files: pod.files, host });
  const { mounts, rootfsPropagation } = await containerMounts({
    base: spec.mounts,
    asked,
    extra: [...files, ...volumes],
    mountLabel: labels.mount,
    hasRecursiveReadOnlyMounts: runtime.hasRecursiveReadOnlyMounts,
    cgroupWritable: isPrivileged || (runtime.cgroupWritable ?? false),
    hasCgroupNamespace,
    cgroupMountOptions: facts.cgroupMountOptions,
    host,
  });
  const isSysBound =
    mappings !== undefined && isNode(pod.config.linux?.securityContext?.namespaceOptions?.network);
  const all = isSysBound
    ? [...mounts.filter(({ destination }) => destination !== "/sys"), nodeSysMount]
    : mounts;
  const { metadata } = config;
  return {
    ...spec,
    root: {
      path: "rootfs",
      ...(config.linux?.securityContext?.readonlyRootfs === true && { readonly: true }),
    },
    mounts: all,
    annotations: {
      ...spec.annotations,
      ...passedAnnotations(pod.config.annotations, runtime.podAnnotations),
      ...passedAnnotations(config.annotations, runtime.containerAnnotations),
      ...containerAnnotations({
        podId: pod.id,
        podConfig: pod.config,
        containerName: metadata?.name ?? "",
        imageName: request.imageName,
      }),
    },
    linux: { ...spec.linux, ...(rootfsPropagation !== undefined && { rootfsPropagation }) },
  };
}

/** A base with nothing masked or filtered, and with the kernel's file systems writable. */
function opened(spec: RuntimeSpec): RuntimeSpec {
  const { seccomp: _seccomp, maskedPaths: _masked, readonlyPaths: _readonly, ...linux } = spec.linux;
  const { apparmorProfile: _profile, selinuxLabel: _label, ...process } = spec.process;
  return { ...withWritableKernel(spec), process, linux };
}

function cdiNames({ config, isCdiEnabled }: ContainerSpecRequest): readonly string[] {
  const names = config.CDIDevices.map(({ name }) => name);
  if (isCdiEnabled) return [...new Set([...names, ...devicesOfAnnotations(config.annotations)])];
  if (names.length === 0) return [];
  throw failedPrecondition(
    `CDI devices (${names.join(", ")}) requested but CDI support is explicitly disabled`,
    { reason: "cdi-disabled", hint: "Set enable_cdi" },
  );
}
