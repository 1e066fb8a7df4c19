import type { Timestamp } from "@bufbuild/protobuf/wkt";
import type { Info, Status } from "../../gen/containerd/services/content/v1/content_pb.js";
import { type Digest, parseDigest } from "../bytes/index.js";
import { dataLoss } from "../errors/index.js";
import type { ContentInfo, IngestStatus, Nanoseconds } from "./contract.js";

const NANOSECONDS = 1_000_000_000n;

export function nanosecondsFrom(timestamp: Timestamp | undefined): Nanoseconds {
  return timestamp === undefined ? 0n : timestamp.seconds * NANOSECONDS + BigInt(timestamp.nanos);
}

/** Bytes, as a service says. @throws DATA_LOSS for what no blob can have */
export function bytesFrom(value: bigint): number {
  const bytes = Number(value);
  if (Number.isSafeInteger(bytes) && bytes >= 0) return bytes;
  throw dataLoss(`Cannot read an answer of the content service: want a count of bytes, got ${value}`, {
    reason: "content-answer-invalid",
  });
}

/** Of the blob that was asked for. @throws DATA_LOSS for another one, and as `contentInfoFrom` */
export function infoOfBlob(info: Info | undefined, digest: Digest): ContentInfo {
  const found = contentInfoFrom(info);
  if (found.digest === digest) return found;
  throw dataLoss(`Cannot read an answer of the content service: want ${digest}, got ${found.digest}`, {
    subject: digest,
    reason: "content-answer-other",
  });
}

/** @throws DATA_LOSS when the service says nothing, or nonsense; INVALID_ARGUMENT for a digest that is none */
export function contentInfoFrom(info: Info | undefined): ContentInfo {
  if (info === undefined) throw incomplete("the info of a blob");
  return {
    digest: parseDigest(info.digest),
    size: bytesFrom(info.size),
    createdAt: nanosecondsFrom(info.createdAt),
    updatedAt: nanosecondsFrom(info.updatedAt),
    labels: info.labels,
  };
}

/** @throws DATA_LOSS, INVALID_ARGUMENT as `contentInfoFrom` */
export function ingestStatusFrom(status: Status | undefined): IngestStatus {
  if (status === undefined) throw incomplete("the status of an ingest");
  return {
    ref: status.ref,
    offset: bytesFrom(status.offset),
    total: bytesFrom(status.total),
    expected: status.expected === "" ? undefined : parseDigest(status.expected),
    startedAt: nanosecondsFrom(status.startedAt),
    updatedAt: nanosecondsFrom(status.updatedAt),
  };
}

function incomplete(what: string): Error {
  return dataLoss(`Cannot read an answer of the content service: want ${what}, got none`, {
    reason: "content-answer-incomplete",
  });
}
