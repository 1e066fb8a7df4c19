import { clone, create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type Container,
  ContainerSchema,
  ContainerState,
  IOPrioClass,
  type LinuxContainerSchema,
  LinuxSchedulerFlag,
  LinuxSchedulerPolicy,
  type PodSandbox,
  PodSandboxSchema,
  SecurityProfile_ProfileType,
} from "../../gen/nri/pkg/api/v1alpha1/api_pb.js";
import { hookNames, type RuntimeHook, type RuntimeProcess, type RuntimeSpec } from "../cdi/index.js";
import { invalidArgument } from "../errors/index.js";
import type { NriContainer, NriContainerState, NriPod, NriSeccompProfile } from "./contract.js";
import { toI64, toU64 } from "./numbers.js";
import { isGiven, list, optional, resourcesMessage } from "./resources-message.js";
import { seccompMessage } from "./seccomp-message.js";

type LinuxInit = MessageInitShape<typeof LinuxContainerSchema>;

const states: Readonly<Record<NriContainerState, ContainerState>> = {
  unknown: ContainerState.CONTAINER_UNKNOWN,
  created: ContainerState.CONTAINER_CREATED,
  paused: ContainerState.CONTAINER_PAUSED,
  running: ContainerState.CONTAINER_RUNNING,
  stopped: ContainerState.CONTAINER_STOPPED,
};

const profileKinds: Readonly<Record<NriSeccompProfile["kind"], SecurityProfile_ProfileType>> = {
  "runtime-default": SecurityProfile_ProfileType.RUNTIME_DEFAULT,
  unconfined: SecurityProfile_ProfileType.UNCONFINED,
  localhost: SecurityProfile_ProfileType.LOCALHOST,
};

/** @throws INVALID_ARGUMENT (reason `nri-spec-invalid`) for a spec that is none */
export function containerMessage(container: NriContainer): Container {
  return checked(container.id, () => {
    const message = create(ContainerSchema, containerInit(container, container.spec as RuntimeSpec));
    // Neither creating nor encoding looks at the types of values; cloning does.
    return clone(ContainerSchema, message);
  });
}

/** A pod; without one an empty message, as plugins read its fields without a look whether there is one. */
export function podMessage(pod: NriPod | undefined): PodSandbox {
  return checked(pod?.id ?? "", () => {
    const { namespaces, overhead, resources } = pod ?? {};
    const message = create(PodSandboxSchema, {
      id: pod?.id ?? "",
      name: pod?.name ?? "",
      uid: pod?.uid ?? "",
      namespace: pod?.namespace ?? "",
      labels: { ...pod?.labels },
      annotations: { ...pod?.annotations },
      runtimeHandler: pod?.runtimeHandler ?? "",
      pid: pod?.pid ?? 0,
      ips: [...list(pod?.ips)],
      linux: {
        cgroupParent: pod?.cgroupParent ?? "",
        cgroupsPath: pod?.cgroupsPath ?? "",
        namespaces: list(namespaces).map(({ type, path }) => ({ type, path: path ?? "" })),
        ...(overhead !== undefined && { podOverhead: resourcesMessage(overhead) }),
        ...(resources !== undefined && { podResources: resourcesMessage(resources) }),
      },
    });
    return clone(PodSandboxSchema, message);
  });
}

function checked<Message>(subject: string, build: () => Message): Message {
  try {
    return build();
  } catch (cause) {
    throw invalidArgument("Cannot tell NRI plugins: want a runtime spec, got another object", {
      subject,
      reason: "nri-spec-invalid",
      cause,
    });
  }
}

function containerInit(container: NriContainer, spec: RuntimeSpec): MessageInitShape<typeof ContainerSchema> {
  const { id, podId, name, state, labels, annotations, pid, exitCode, image } = container;
  const { createdAtNs, startedAtNs, finishedAtNs, statusReason, statusMessage } = container;
  const { process } = spec;
  return {
    id,
    podSandboxId: podId ?? "",
    name: name ?? "",
    state: states[state ?? "unknown"],
    labels: { ...labels },
    annotations: { ...(annotations ?? spec.annotations) },
    args: [...list(process?.args)],
    env: [...list(process?.env)],
    mounts: list(spec.mounts).map(({ destination, type, source, options }) => ({
      destination,
      type: type ?? "",
      source: source ?? "",
      options: [...list(options)],
    })),
    hooks: hooksInit(spec),
    linux: linuxInit(container, spec),
    pid: pid ?? 0,
    rlimits: list(process?.rlimits).map(({ type, hard, soft }) => ({
      type,
      hard: toU64(hard),
      soft: toU64(soft),
    })),
    createdAt: createdAtNs ?? 0n,
    startedAt: startedAtNs ?? 0n,
    finishedAt: finishedAtNs ?? 0n,
    exitCode: exitCode ?? 0,
    statusReason: statusReason ?? "",
    statusMessage: statusMessage ?? "",
    CDIDevices: list(container.cdiDevices).map((device) => ({ name: device })),
    ...(isGiven(process?.user) && {
      user: {
        uid: process?.user?.uid ?? 0,
        gid: process?.user?.gid ?? 0,
        additionalGids: [...list(process?.user?.additionalGids)],
      },
    }),
    ...(image !== undefined && {
      image: { name: image.name, digest: image.digest ?? "", configDigest: image.configDigest ?? "" },
    }),
  };
}

function hooksInit(spec: RuntimeSpec): MessageInitShape<typeof ContainerSchema>["hooks"] & object {
  const of = (hooks: readonly RuntimeHook[] | undefined) =>
    list(hooks).map(({ path, args, env, timeout }) => ({
      path,
      args: [...list(args)],
      env: [...list(env)],
      ...optional("timeout", isGiven(timeout) ? { value: toI64(timeout) } : undefined),
    }));
  return Object.fromEntries(hookNames.map((name) => [name, of(spec.hooks?.[name])]));
}

function linuxInit({ seccompProfile }: NriContainer, spec: RuntimeSpec): LinuxInit {
  const { process } = spec;
  const linux = spec.linux ?? {};
  const { intelRdt, seccomp } = linux;
  return {
    namespaces: list(linux.namespaces).map(({ type, path }) => ({ type, path: path ?? "" })),
    devices: list(linux.devices).map((device) => ({
      path: device.path,
      type: device.type,
      major: toI64(device.major ?? 0),
      minor: toI64(device.minor ?? 0),
      ...optional("fileMode", wrapped(device.fileMode)),
      ...optional("uid", wrapped(device.uid)),
      ...optional("gid", wrapped(device.gid)),
    })),
    resources: resourcesMessage(linux.resources ?? {}),
    ...optional(
      "oomScoreAdj",
      isGiven(process?.oomScoreAdj) ? { value: toI64(process.oomScoreAdj) } : undefined,
    ),
    cgroupsPath: linux.cgroupsPath ?? "",
    ...processInit(process ?? {}),
    ...(seccompProfile !== undefined && {
      seccompProfile: {
        profileType: profileKinds[seccompProfile.kind],
        localhostRef: seccompProfile.path ?? "",
      },
    }),
    ...(isGiven(seccomp) && { seccompPolicy: seccompMessage(seccomp) }),
    sysctl: { ...linux.sysctl },
    netDevices: Object.fromEntries(
      Object.entries(linux.netDevices ?? {}).map(([host, { name = "" }]) => [host, { name }]),
    ),
    ...(isGiven(intelRdt) && {
      rdt: {
        ...optional("closId", wrapped(intelRdt.closID)),
        ...optional("schemata", wrapped(intelRdt.schemata)),
        ...optional("enableMonitoring", wrapped(intelRdt.enableMonitoring)),
      },
    }),
  };
}

function processInit({ ioPriority, scheduler }: RuntimeProcess): Pick<LinuxInit, "ioPriority" | "scheduler"> {
  return {
    ...(isGiven(ioPriority) && {
      ioPriority: { class: numberOf(IOPrioClass, ioPriority.class), priority: ioPriority.priority ?? 0 },
    }),
    ...(isGiven(scheduler) && {
      scheduler: {
        policy: numberOf(LinuxSchedulerPolicy, scheduler.policy),
        nice: scheduler.nice ?? 0,
        priority: scheduler.priority ?? 0,
        flags: list(scheduler.flags).map((flag) => numberOf(LinuxSchedulerFlag, flag)),
        runtime: toU64(scheduler.runtime ?? 0),
        deadline: toU64(scheduler.deadline ?? 0),
        period: toU64(scheduler.period ?? 0),
      },
    }),
  };
}

/** The number of a name of an enum; 0 for one that it hasn't. */
function numberOf(names: Readonly<Record<string, number | string>>, name: string): number {
  const number = Object.hasOwn(names, name) ? names[name] : 0;
  return typeof number === "number" ? number : 0;
}

function wrapped<Value>(value: Value | undefined): { value: Value } | undefined {
  return isGiven(value) ? { value } : undefined;
}
