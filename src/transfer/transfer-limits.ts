import pLimit from "p-limit";
import { KeyedQueue } from "../async/index.js";
import type { TransferParts } from "./transfer-contract.js";

/** Runs works, at most so many at once over all transfers; the others wait in line. */
export type Limit = <Result>(work: () => Promise<Result>) => Promise<Result>;

/** What all transfers of a daemon share. */
export interface TransferLimits {
  readonly downloads: Limit;
  readonly unpacks: Limit;
  readonly uploads: Limit;
  /** One layer of a snapshotter is unpacked by one transfer at a time. */
  readonly turns: KeyedQueue<string>;
}

export function transferLimits(
  parts: Pick<TransferParts, "downloadsMax" | "unpacksMax" | "uploadsMax">,
): TransferLimits {
  return {
    downloads: limitOf(parts.downloadsMax),
    unpacks: limitOf(parts.unpacksMax),
    uploads: limitOf(parts.uploadsMax),
    turns: new KeyedQueue(),
  };
}

function limitOf(max: number): Limit {
  const limit = pLimit(max);
  return async (work) => await limit(work);
}
