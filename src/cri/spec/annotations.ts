import type { PodSandboxConfig } from "../../../gen/runtime/v1/api_pb.js";
import { failedPrecondition } from "../../errors/index.js";
import { globMatch } from "./glob-match.js";

type Annotations = Readonly<Record<string, string>>;

/** Those whose keys match one of the patterns. */
export function passedAnnotations(annotations: Annotations, patterns: readonly string[]): Annotations {
  return Object.fromEntries(
    Object.entries(annotations).filter(([key]) => patterns.some((pattern) => globMatch(pattern, key))),
  );
}

/** What containerd tells shims and hooks of a pod, by its keys. */
export function podAnnotations(podId: string, config: PodSandboxConfig, imageName: string): Annotations {
  const resources = config.linux?.resources;
  return {
    ...(resources !== undefined && {
      "io.kubernetes.cri.sandbox-cpu-period": String(resources.cpuPeriod),
      "io.kubernetes.cri.sandbox-cpu-quota": String(resources.cpuQuota),
      "io.kubernetes.cri.sandbox-cpu-shares": String(resources.cpuShares),
      "io.kubernetes.cri.sandbox-memory": String(resources.memoryLimitInBytes),
    }),
    ...commonAnnotations(podId, config),
    "io.kubernetes.cri.sandbox-log-directory": config.logDirectory,
    "io.kubernetes.cri.podsandbox.image-name": imageName,
    "io.kubernetes.cri.container-type": "sandbox",
  };
}

export interface ContainerNames {
  readonly podId: string;
  readonly podConfig: PodSandboxConfig;
  readonly containerName: string;
  readonly imageName: string;
}

export function containerAnnotations(names: ContainerNames): Annotations {
  return {
    ...commonAnnotations(names.podId, names.podConfig),
    "io.kubernetes.cri.container-name": names.containerName,
    "io.kubernetes.cri.image-name": names.imageName,
    "io.kubernetes.cri.container-type": "container",
  };
}

function commonAnnotations(podId: string, { metadata }: PodSandboxConfig): Annotations {
  return {
    "io.kubernetes.cri.sandbox-id": podId,
    "io.kubernetes.cri.sandbox-namespace": metadata?.namespace ?? "",
    "io.kubernetes.cri.sandbox-uid": metadata?.uid ?? "",
    "io.kubernetes.cri.sandbox-name": metadata?.name ?? "",
  };
}

export interface ClassRequest {
  readonly containerName: string;
  readonly annotations: Annotations;
  readonly podAnnotations: Annotations;
  readonly settings: {
    readonly ignoreBlockioNotEnabledErrors: boolean;
    readonly ignoreRdtNotEnabledErrors: boolean;
  };
}

/**
 * Refuses classes of RDT and of block I/O, which are not served here, unless the configuration says to go on without.
 * @throws FAILED_PRECONDITION `rdt-disabled`, `blockio-disabled`
 */
export function refuseResourceClasses(request: ClassRequest): void {
  const { containerName, settings } = request;
  const rdt = classOf(request, "rdt");
  if (rdt !== "" && !settings.ignoreRdtNotEnabledErrors) {
    throw failedPrecondition(
      `failed to set RDT class: RDT disabled, refusing to set RDT class of container "${containerName}" to "${rdt}"`,
      { subject: containerName, reason: "rdt-disabled", hint: "Set ignore_rdt_not_enabled_errors to go on" },
    );
  }
  const blockio = classOf(request, "blockio");
  if (blockio !== "" && !settings.ignoreBlockioNotEnabledErrors) {
    throw failedPrecondition(
      `failed to set blockio class: blockio disabled, refusing to set blockio class of container "${containerName}" to "${blockio}"`,
      {
        subject: containerName,
        reason: "blockio-disabled",
        hint: "Set ignore_blockio_not_enabled_errors to go on",
      },
    );
  }
}

/** The container's own annotation stands above the pod's for it, and that above the pod's for all. */
function classOf({ containerName, annotations, podAnnotations }: ClassRequest, kind: string): string {
  const pod = `${kind}.resources.beta.kubernetes.io`;
  return (
    annotations[`io.kubernetes.cri.${kind}-class`] ??
    podAnnotations[`${pod}/container.${containerName}`] ??
    podAnnotations[`${pod}/pod`] ??
    ""
  );
}
