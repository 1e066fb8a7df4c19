import { type DescMessage, type MessageInitShape, type MessageShape, toJson } from "@bufbuild/protobuf";
import {
  type PodSandboxConfig,
  PodSandboxConfigSchema,
  type PodSandboxFilter,
  type PodSandboxSchema,
  PodSandboxState,
  type PodSandboxStatusSchema,
} from "../../gen/runtime/v1/api_pb.js";
import { LazuliError } from "../errors/index.js";
import type { SandboxRow } from "../metadata/index.js";
import type { Pod, PodRecord } from "./contract.js";
import type { PodStore } from "./store.js";

/** As a list has it. */
export function podMessage({ record, state }: Pod): MessageInitShape<typeof PodSandboxSchema> {
  const { id, config, createdAt, runtimeHandler } = record;
  return { id, ...commonFields(config), state: stateNumber(state), createdAt, runtimeHandler };
}

export function podStatusMessage({ record, state }: Pod): MessageInitShape<typeof PodSandboxStatusSchema> {
  const { id, config, createdAt, runtimeHandler, addresses } = record;
  const options = config.linux?.securityContext?.namespaceOptions;
  const [ip = "", ...others] = addresses;
  return {
    id,
    ...commonFields(config),
    state: stateNumber(state),
    createdAt,
    network: { ip, additionalIps: others.map((one) => ({ ip: one })) },
    linux: { namespaces: options === undefined ? {} : { options } },
    runtimeHandler,
  };
}

/** Those of a filter; ids may be prefixes. An id that nobody has matches none. */
export function filteredPods(pods: PodStore, filter: PodSandboxFilter | undefined): Pod[] {
  const wanted = filter?.id ? idOf(pods, filter.id) : undefined;
  return pods.list().filter(({ record, state }) => {
    if (wanted !== undefined && record.id !== wanted) return false;
    if (filter?.state !== undefined && stateNumber(state) !== filter.state.state) return false;
    const labels = Object.entries(filter?.labelSelector ?? {});
    return labels.every(([key, value]) => record.config.labels[key] === value);
  });
}

/** What `crictl inspectp` shows, in containerd's words. */
export function podInfo(request: {
  readonly pod: Pod;
  readonly row: SandboxRow;
  readonly isNetnsClosed: boolean;
  readonly described: Readonly<Record<string, unknown>>;
}): Record<string, unknown> {
  const { pod, row, isNetnsClosed, described } = request;
  const { record, pid } = pod;
  const config = goJson(PodSandboxConfigSchema, record.config);
  return {
    pid,
    ...described,
    netNamespaceClosed: isNetnsClosed,
    runtimeType: row.runtime.name,
    config,
    ...(row.spec === undefined
      ? {}
      : { runtimeSpec: JSON.parse(Buffer.from(row.spec.value).toString("utf8")) }),
    cniResult: record.cniResult ?? null,
    sandboxMetadata: sandboxMetadata(record, config),
    ...(record.updated === undefined ? {} : updatedInfo(record.updated)),
  };
}

/** Names as the protocol has them, and enums as numbers: Go's plain JSON of a message. */
export function goJson<Schema extends DescMessage>(schema: Schema, message: MessageShape<Schema>): unknown {
  return toJson(schema, message, { useProtoFieldName: true, enumAsInteger: true });
}

function sandboxMetadata(record: PodRecord, config: unknown): Record<string, unknown> {
  const { id, name, netns, addresses, runtimeHandler, processLabel } = record;
  const [ip = "", ...others] = addresses;
  return {
    ID: id,
    Name: name,
    Config: config,
    NetNSPath: netns ?? "",
    IP: ip,
    AdditionalIPs: others,
    RuntimeHandler: runtimeHandler,
    ProcessLabel: processLabel,
  };
}

function updatedInfo({ overhead, resources }: NonNullable<PodRecord["updated"]>): Record<string, unknown> {
  return { overhead: { linux: overhead }, resources: { linux: resources } };
}

function commonFields({ metadata, labels, annotations }: PodSandboxConfig) {
  return { ...(metadata === undefined ? {} : { metadata }), labels, annotations };
}

function stateNumber(state: Pod["state"]): PodSandboxState {
  return state === "ready" ? PodSandboxState.SANDBOX_READY : PodSandboxState.SANDBOX_NOTREADY;
}

function idOf(pods: PodStore, prefix: string): string {
  try {
    return pods.get(prefix).record.id;
  } catch (thrown) {
    // A list of what is not there is empty.
    if (LazuliError.from(thrown).reason === "cri-missing") return prefix;
    if (LazuliError.from(thrown).reason === "cri-id-ambiguous") return prefix;
    throw thrown;
  }
}
