import type { Timestamp } from "@bufbuild/protobuf/wkt";
import type { Descriptor as DescriptorMessage } from "../../gen/containerd/types/descriptor_pb.js";
import { type Digest, parseDigest } from "../bytes/index.js";
import type { RuntimeSpec } from "../spec/index.js";

const NANOSECONDS = 1_000_000_000n;
const NANOSECONDS_OF_MS = 1_000_000n;

/** Name of a manifest, an index or a blob. */
export interface Target {
  readonly mediaType: string;
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
}

export interface Waiting {
  readonly signal?: AbortSignal | undefined;
}

export type Labels = Readonly<Record<string, string>>;

/** Nanoseconds since 1970; 0 for none. */
export function nanosecondsOf(timestamp: Timestamp | undefined): bigint {
  return timestamp === undefined ? 0n : timestamp.seconds * NANOSECONDS + BigInt(timestamp.nanos);
}

/** Undefined for the time that Go calls zero, which stands for none. */
export function dateOf(timestamp: Timestamp | undefined): Date | undefined {
  const at = nanosecondsOf(timestamp);
  return at <= 0n ? undefined : new Date(Number(at / NANOSECONDS_OF_MS));
}

/** @throws INVALID_ARGUMENT for a digest that is none */
export function targetOf(message: DescriptorMessage | undefined): Target {
  return {
    mediaType: message?.mediaType ?? "",
    digest: parseDigest(message?.digest ?? ""),
    size: Number(message?.size ?? 0n),
  };
}

/** A Go type in an Any has a path for its name and JSON for its bytes (typeurl). */
export function jsonAny(typeUrl: string, value: unknown): { typeUrl: string; value: Uint8Array } {
  return { typeUrl, value: Buffer.from(JSON.stringify(value)) };
}

export const specTypes = {
  spec: "types.containerd.io/opencontainers/runtime-spec/1/Spec",
  process: "types.containerd.io/opencontainers/runtime-spec/1/Process",
  resources: "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources",
} as const;

/** The specification that a container was made with; whoever made it wrote it. */
export function specOf(any: { readonly value: Uint8Array } | undefined): RuntimeSpec {
  return JSON.parse(Buffer.from(any?.value ?? Buffer.from("{}")).toString("utf8")) as RuntimeSpec;
}
