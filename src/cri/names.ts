import { randomBytes } from "node:crypto";
import type { ContainerMetadata, PodSandboxMetadata } from "../../gen/runtime/v1/api_pb.js";

/** Bytes of an id, as containerd's and docker's have. */
const ID_BYTES = 32;

/** A new id of a pod or container: 64 hex digits. */
export function newId(): string {
  return randomBytes(ID_BYTES).toString("hex");
}

/** What of a pod is there once at a time. */
export function podName({ name, namespace, uid, attempt }: PodSandboxMetadata): string {
  return [name, namespace, uid, attempt].join("_");
}

/** What of a container is there once at a time. */
export function containerName(container: ContainerMetadata, pod: PodSandboxMetadata): string {
  return [container.name, pod.name, pod.namespace, pod.uid, container.attempt].join("_");
}
