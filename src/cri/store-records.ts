import { type DescMessage, fromJson, type JsonValue, type MessageShape, toJson } from "@bufbuild/protobuf";
import { ContainerConfigSchema, PodSandboxConfigSchema } from "../../gen/runtime/v1/api_pb.js";
import { dataLoss, LazuliError } from "../errors/index.js";
import type { AnyValue } from "../metadata/index.js";
import type { ContainerRecord, ContainerStatusRecord, PodRecord } from "./contract.js";

/** What a record's extensions are called, as containerd calls them. */
export const POD_RECORD = "io.cri-containerd.sandbox.metadata";
export const CONTAINER_RECORD = "io.cri-containerd.container.metadata";
export const CONTAINER_STATUS = "io.cri-containerd.container.status";

type Stored = { readonly [key: string]: JsonValue };

export function podRecordAny(record: PodRecord): AnyValue {
  return encoded("lazuli.cri.PodRecord", { ...record, ...storedConfig(PodSandboxConfigSchema, record) });
}

/** @throws DATA_LOSS `cri-record-damaged` */
export function podRecordOf(any: AnyValue | undefined, id: string): PodRecord {
  return decoded(any, id, (stored) => ({
    ...(stored as unknown as PodRecord),
    ...readConfig(PodSandboxConfigSchema, stored),
    netns: stored.netns as string | undefined,
    userns: stored.userns as string | undefined,
    cniResult: stored.cniResult as PodRecord["cniResult"],
    updated: stored.updated as PodRecord["updated"],
  }));
}

export function containerRecordAny(record: ContainerRecord): AnyValue {
  return encoded("lazuli.cri.ContainerRecord", { ...record, ...storedConfig(ContainerConfigSchema, record) });
}

/** @throws DATA_LOSS `cri-record-damaged` */
export function containerRecordOf(any: AnyValue | undefined, id: string): ContainerRecord {
  return decoded(any, id, (stored) => ({
    ...(stored as unknown as ContainerRecord),
    ...readConfig(ContainerConfigSchema, stored),
  }));
}

export function containerStatusAny(status: ContainerStatusRecord): AnyValue {
  const { state, pid, startedAt, finishedAt, exitCode, reason, message } = status;
  return encoded("lazuli.cri.ContainerStatus", {
    state,
    pid,
    startedAt: startedAt.toString(),
    finishedAt: finishedAt.toString(),
    exitCode,
    reason,
    message,
  });
}

/** @throws DATA_LOSS `cri-record-damaged` */
export function containerStatusOf(any: AnyValue | undefined, id: string): ContainerStatusRecord {
  return decoded(any, id, (stored) => ({
    ...(stored as unknown as ContainerStatusRecord),
    startedAt: BigInt(stored.startedAt as string),
    finishedAt: BigInt(stored.finishedAt as string),
  }));
}

interface Configured<Schema extends DescMessage> {
  readonly config: MessageShape<Schema>;
  readonly createdAt: bigint;
}

function storedConfig<Schema extends DescMessage>(schema: Schema, record: Configured<Schema>): Stored {
  return { config: toJson(schema, record.config), createdAt: record.createdAt.toString() };
}

function readConfig<Schema extends DescMessage>(schema: Schema, stored: Stored): Configured<Schema> {
  return {
    // A later version may know fields that this one does not, and a node may go back.
    config: fromJson(schema, stored.config ?? null, { ignoreUnknownFields: true }),
    createdAt: BigInt(stored.createdAt as string),
  };
}

function encoded(typeUrl: string, value: object): AnyValue {
  return { typeUrl, value: Buffer.from(JSON.stringify(value), "utf8") };
}

function decoded<Value>(any: AnyValue | undefined, id: string, read: (stored: Stored) => Value): Value {
  try {
    return read(JSON.parse(Buffer.from(any!.value).toString("utf8")) as Stored);
  } catch (thrown) {
    throw dataLoss(`Cannot read what CRI stored of ${id}: ${LazuliError.from(thrown).message}`, {
      subject: id,
      reason: "cri-record-damaged",
      cause: thrown,
    });
  }
}
