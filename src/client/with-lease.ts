import { randomBytes } from "node:crypto";
import type { Connection } from "./connection.js";
import type { Labels, Waiting } from "./messages.js";

export interface LeaseOptions extends Waiting {
  readonly labels?: Labels;
  /** When the server may forget it if nobody deletes it; 24 hours by default, as containerd's clients have it. */
  readonly expiresInMs?: number;
}

const EXPIRES_IN_MS = 24 * 60 * 60 * 1000;

/** Keeps the garbage collector from what `work` makes until it is done. Within a lease already, that one does. */
export async function withLease<T>(
  connection: Connection,
  work: (leased: Connection) => Promise<T>,
  { signal, labels, expiresInMs = EXPIRES_IN_MS }: LeaseOptions = {},
): Promise<T> {
  if (connection.scope.lease !== undefined) return await work(connection);
  const id = `lazuli-${Date.now()}-${randomBytes(4).toString("hex")}`;
  const expire = new Date(Date.now() + expiresInMs).toISOString();
  await connection.call({ action: "make a lease", signal }, async ({ leases }, options) => {
    await leases.create({ id, labels: { ...labels, "containerd.io/gc.expire": expire } }, options);
  });
  const leased = connection.within({ ...connection.scope, lease: id });
  try {
    return await work(leased);
  } finally {
    leased.release();
    // Also when `signal` has fired. The server drops it by itself if it can't be told now.
    await connection
      .call({ action: "delete a lease", subject: id }, async ({ leases }, options) => {
        await leases.delete({ id, sync: false }, options);
      })
      .catch(() => undefined);
  }
}
