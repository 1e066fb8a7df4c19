import { notFound } from "../errors/index.js";
import { type LeaseResource, leaseResources, leases, type Transaction } from "../metadata/index.js";

export function attachLease(
  transaction: Transaction,
  leased: { readonly namespace: string; readonly lease: string; readonly resource: LeaseResource },
): void {
  const { namespace, lease, resource } = leased;
  if (transaction.get(leases, [namespace, lease]) === undefined) {
    throw notFound("lease does not exist", { subject: lease, reason: "lease-missing" });
  }
  transaction.put(leaseResources, [namespace, lease, resource.type, resource.id], resource);
}
