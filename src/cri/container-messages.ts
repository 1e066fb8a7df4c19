import { fromBinary, type MessageInitShape, toJson } from "@bufbuild/protobuf";
import { type Options, OptionsSchema } from "../../gen/containerd/types/runc/options/oci_pb.js";
import {
  ContainerConfigSchema,
  type ContainerFilter,
  type ContainerResourcesSchema,
  type ContainerSchema,
  type ContainerStatusSchema,
} from "../../gen/runtime/v1/api_pb.js";
import type { ContainerRow } from "../metadata/index.js";
import type { RuntimeSpec } from "../spec/index.js";
import { specOf, wireSignal, wireState } from "./container-names.js";
import type { CriContainer, CriImage } from "./contract.js";
import type { CriStore } from "./store.js";

type ContainerMessage = MessageInitShape<typeof ContainerSchema>;

/** A container as lists show it. */
export function containerMessage({ record, state }: CriContainer): ContainerMessage {
  const { id, podId, config, imageId, createdAt } = record;
  return {
    id,
    podSandboxId: podId,
    ...(config.metadata === undefined ? {} : { metadata: config.metadata }),
    ...(config.image === undefined ? {} : { image: config.image }),
    imageRef: imageId,
    imageId,
    state: wireState(state),
    createdAt,
    labels: config.labels,
    annotations: config.annotations,
  };
}

/** Ids may be cut short, as long as one alone begins so. */
export function filteredContainers(
  store: CriStore,
  filter: ContainerFilter | undefined,
): readonly CriContainer[] {
  const all = store.containers.list();
  if (filter === undefined) return all;
  const id = filter.id === "" ? "" : (store.containers.find(filter.id)?.record.id ?? filter.id);
  const podId =
    filter.podSandboxId === ""
      ? ""
      : (store.pods.find(filter.podSandboxId)?.record.id ?? filter.podSandboxId);
  const labels = Object.entries(filter.labelSelector);
  return all.filter(
    ({ record, state }) =>
      (id === "" || record.id === id) &&
      (podId === "" || record.podId === podId) &&
      (filter.state === undefined || filter.state.state === wireState(state)) &&
      labels.every(([key, value]) => record.config.labels[key] === value),
  );
}

/** `image`: undefined for one that is gone. */
export function statusMessage(
  container: CriContainer,
  { image, spec }: { readonly image: CriImage | undefined; readonly spec: RuntimeSpec | undefined },
): MessageInitShape<typeof ContainerStatusSchema> {
  const { record, state, startedAt, finishedAt, exitCode, reason, message } = container;
  const { config } = record;
  const [tag] = image?.repoTags ?? [];
  const [digest] = image?.repoDigests ?? [];
  const user = spec?.process.user;
  return {
    id: record.id,
    ...(config.metadata === undefined ? {} : { metadata: config.metadata }),
    state: wireState(state),
    createdAt: record.createdAt,
    startedAt: state === "created" ? 0n : startedAt,
    finishedAt: state === "exited" || state === "unknown" ? finishedAt : 0n,
    exitCode,
    ...(tag !== undefined
      ? { image: { image: tag } }
      : config.image === undefined
        ? {}
        : { image: config.image }),
    imageRef: digest ?? record.imageId,
    imageId: record.imageId,
    reason,
    message,
    labels: config.labels,
    annotations: config.annotations,
    mounts: config.mounts,
    logPath: record.logPath,
    ...(spec === undefined ? {} : { resources: resourcesMessage(spec) }),
    user:
      user === undefined
        ? {}
        : {
            linux: {
              uid: BigInt(user.uid),
              gid: BigInt(user.gid),
              supplementalGroups: (user.additionalGids ?? []).map(BigInt),
            },
          },
    stopSignal: wireSignal(record.stopSignal),
  };
}

/** The limits that the spec has. */
function resourcesMessage({
  process,
  linux,
}: RuntimeSpec): MessageInitShape<typeof ContainerResourcesSchema> {
  const { cpu, memory, hugepageLimits, unified } = linux.resources;
  const number = (value: number | undefined): bigint => BigInt(Math.trunc(value ?? 0));
  return {
    linux: {
      oomScoreAdj: number(process.oomScoreAdj),
      cpuPeriod: number(cpu?.period),
      cpuQuota: number(cpu?.quota),
      cpuShares: number(cpu?.shares),
      cpusetCpus: cpu?.cpus ?? "",
      cpusetMems: cpu?.mems ?? "",
      memoryLimitInBytes: number(memory?.limit),
      memorySwapLimitInBytes: number(memory?.swap),
      hugepageLimits: (hugepageLimits ?? []).map(({ pageSize, limit }) => ({
        pageSize,
        limit: number(limit),
      })),
      unified: unified ?? {},
    },
  };
}

/** What `crictl inspect` shows besides, as containerd names it. */
export function containerInfo(
  container: CriContainer,
  { row, isRemoving }: { readonly row: ContainerRow; readonly isRemoving: boolean },
): Record<string, string> {
  const { record, pid } = container;
  const { options } = row.runtime;
  const info = {
    sandboxID: record.podId,
    pid,
    removing: isRemoving,
    snapshotKey: row.snapshotKey,
    snapshotter: row.snapshotter,
    runtimeType: row.runtime.name,
    runtimeOptions: options?.typeUrl === OptionsSchema.typeName ? runcOptions(options.value) : null,
    config: toJson(ContainerConfigSchema, record.config, { useProtoFieldName: true }),
    runtimeSpec: specOf(row),
  };
  return { info: JSON.stringify(info) };
}

function runcOptions(bytes: Uint8Array): unknown {
  const options: Options = fromBinary(OptionsSchema, bytes);
  return toJson(OptionsSchema, options, { useProtoFieldName: true });
}
