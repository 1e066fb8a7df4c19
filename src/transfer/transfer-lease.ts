import { randomBytes } from "node:crypto";
import { LazuliError } from "../errors/index.js";
import type { LeaseTable } from "../metadata/index.js";
import { log } from "../observe/index.js";
import type { TransferCall } from "./transfer-contract.js";

const NANOSECONDS = 1_000_000_000n;
const DAY_NS = 24n * 3600n * NANOSECONDS;
const EXPIRE_LABEL = "containerd.io/gc.expire";

/** A time as RFC 3339 in seconds. `at`: nanoseconds since 1970. */
export function rfc3339(at: bigint): string {
  return new Date(Number(at / 1_000_000n)).toISOString().replace(/\.\d+Z$/, "Z");
}

/** What containerd puts behind a prefix to make a name of one moment: `<nanoseconds>-<random>`. */
export function uniquePart(now: bigint): string {
  return `${now % NANOSECONDS}-${randomBytes(3).toString("base64url")}`;
}

/** Runs the work under the caller's lease, or under one that lasts as long as the work. */
export async function withLease<Call extends TransferCall, Result>(
  { leases, now }: { readonly leases: LeaseTable; readonly now: () => bigint },
  call: Call,
  work: (call: Call & { readonly lease: string }) => Promise<Result>,
): Promise<Result> {
  if (call.lease !== undefined && call.lease !== "") return await work({ ...call, lease: call.lease });
  const { namespace } = call;
  const id = uniquePart(now());
  await leases.create({ namespace, id, labels: { [EXPIRE_LABEL]: rfc3339(now() + DAY_NS) } });
  try {
    return await work({ ...call, lease: id });
  } finally {
    await leases.delete({ namespace, id }).catch((thrown: unknown) => {
      // It expires by itself; the result of the work counts.
      log.warn("Cannot delete the lease of a transfer", {
        lease: id,
        error: LazuliError.from(thrown).message,
      });
    });
  }
}
