import { toBinary } from "@bufbuild/protobuf";
import {
  type Container,
  ContainerSchema,
  type ContainerUpdate,
  Plugin as PluginService,
  type PodSandbox,
  PodSandboxSchema,
} from "../../gen/nri/pkg/api/v1alpha1/api_pb.js";
import { failedPrecondition } from "../errors/index.js";
import { containerMessage, podMessage } from "./container-message.js";
import type { NriState } from "./contract.js";
import type { NriPlugin } from "./plugin.js";

/** Of one message: well below ttrpc's limit of 4 MiB, as each pod and container comes with a few bytes more. */
const PART_BYTES_MAX = 3 * 1024 * 1024;

interface Part {
  readonly pods: PodSandbox[];
  readonly containers: Container[];
}

/**
 * Tells a plugin all that runs, in as many messages as it takes, and returns what it wants changed.
 * @throws what the plugin answered; FAILED_PRECONDITION when it takes no parts
 */
export async function synchronizePlugin(
  plugin: NriPlugin,
  state: NriState,
  { timeoutMs }: { readonly timeoutMs: number },
): Promise<readonly ContainerUpdate[]> {
  const parts = partsOf(state);
  for (const [index, part] of parts.entries()) {
    const more = index < parts.length - 1;
    const answer = await plugin.call(PluginService.method.synchronize, { ...part, more }, { timeoutMs });
    if (answer === undefined) return [];
    if (!more) return answer.update;
    if (!answer.more || answer.update.length > 0) {
      throw failedPrecondition(
        `Cannot synchronize plugin ${plugin.name}: want one that takes parts, got another`,
        {
          subject: plugin.name,
          reason: "nri-no-parts",
        },
      );
    }
  }
  return [];
}

function partsOf({ pods, containers }: NriState): Part[] {
  let part: Part = { pods: [], containers: [] };
  const parts = [part];
  let bytes = 0;
  const count = (length: number): void => {
    bytes += length;
    if (bytes <= PART_BYTES_MAX || bytes === length) return;
    part = { pods: [], containers: [] };
    parts.push(part);
    bytes = length;
  };
  for (const pod of pods) {
    const message = podMessage(pod);
    count(toBinary(PodSandboxSchema, message).length);
    part.pods.push(message);
  }
  for (const container of containers) {
    const message = containerMessage(container);
    count(toBinary(ContainerSchema, message).length);
    part.containers.push(message);
  }
  return parts;
}
