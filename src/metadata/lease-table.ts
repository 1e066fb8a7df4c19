import {
  alreadyExists,
  invalidArgument,
  type LazuliError,
  notFound,
  unimplemented,
} from "../errors/index.js";
import { digestFault, ensureNamespace } from "./checks.js";
import { labelAt, matching, presentText } from "./field-paths.js";
import type { Metadata } from "./metadata.js";
import type { RuleTableOptions } from "./namespace-table.js";
import type { Labels, LeaseResource, LeaseRow } from "./rows.js";
import { storedLabels } from "./snapshot-changes.js";
import { leaseResources, leases } from "./tables.js";
import type { Transaction } from "./transaction.js";

/** Names one lease. */
export interface LeaseName {
  readonly namespace: string;
  readonly id: string;
}

/** The leases with the rules and messages of containerd's manager. Changes are durable when their promise resolves. */
export class LeaseTable {
  readonly #metadata: Metadata;
  readonly #now: () => bigint;

  constructor(options: RuleTableOptions) {
    this.#metadata = options.metadata;
    this.#now = options.now;
  }

  /** @throws NOT_FOUND */
  get({ namespace, id }: LeaseName): LeaseRow {
    const row = this.#metadata.get(leases, [namespace, id]);
    if (row === undefined) throw missing(id);
    return row;
  }

  /** In the order of the ids. @throws INVALID_ARGUMENT for a filter */
  list(request: { readonly namespace: string; readonly filters: readonly string[] }): LeaseRow[] {
    return matching(this.#metadata.entries(leases, [request.namespace]), request.filters, leaseField);
  }

  /** @throws INVALID_ARGUMENT, ALREADY_EXISTS */
  async create(request: LeaseName & { readonly labels: Labels }): Promise<LeaseRow> {
    const { namespace, id, labels } = request;
    if (id === "") throw invalidArgument("lease id must be provided", { reason: "lease-invalid" });
    return await this.#metadata.write((transaction) => {
      if (transaction.get(leases, [namespace, id]) !== undefined) {
        throw alreadyExists(`lease ${JSON.stringify(id)}`, { subject: id, reason: "lease-exists" });
      }
      ensureNamespace(transaction, namespace);
      const row = { namespace, id, labels: storedLabels(labels), createdAt: this.#now() };
      transaction.put(leases, [namespace, id], row);
      return row;
    });
  }

  /** With all that it lists. @throws NOT_FOUND */
  async delete({ namespace, id }: LeaseName): Promise<void> {
    await this.#metadata.write(
      (transaction) => {
        requireLease(transaction, { namespace, id });
        transaction.delete(leases, [namespace, id]);
        for (const { key } of transaction.entries(leaseResources, [namespace, id])) {
          transaction.delete(leaseResources, key);
        }
      },
      { isRemoval: true },
    );
  }

  /** @throws NOT_FOUND; INVALID_ARGUMENT, UNIMPLEMENTED for a type or id */
  async addResource({ resource, ...lease }: LeaseName & { readonly resource: LeaseResource }): Promise<void> {
    await this.#metadata.write((transaction) => {
      requireLease(transaction, lease);
      requireResource(resource);
      transaction.put(leaseResources, resourceKey(lease, resource), resource);
    });
  }

  /** One that is not listed is no error. @throws as `addResource` */
  async deleteResource({
    resource,
    ...lease
  }: LeaseName & { readonly resource: LeaseResource }): Promise<void> {
    await this.#metadata.write(
      (transaction) => {
        requireLease(transaction, lease);
        requireResource(resource);
        transaction.delete(leaseResources, resourceKey(lease, resource));
      },
      { isRemoval: true },
    );
  }

  /** In the order of types, then ids. @throws NOT_FOUND */
  listResources({ namespace, id }: LeaseName): LeaseResource[] {
    this.get({ namespace, id });
    return Array.from(this.#metadata.entries(leaseResources, [namespace, id]), ({ value }) => value);
  }
}

/** Puts a thing under a lease, in the action that makes the thing. @throws NOT_FOUND when the lease is gone */
export function attachLease(
  transaction: Transaction,
  request: { readonly namespace: string; readonly lease: string; readonly resource: LeaseResource },
): void {
  const { namespace, lease: id, resource } = request;
  if (transaction.get(leases, [namespace, id]) === undefined) {
    throw notFound("lease does not exist", { subject: id, reason: "lease-missing" });
  }
  transaction.put(leaseResources, resourceKey({ namespace, id }, resource), resource);
}

function missing(id: string): LazuliError {
  return notFound(`lease ${JSON.stringify(id)}`, { subject: id, reason: "lease-missing" });
}

function requireLease(transaction: Transaction, { namespace, id }: LeaseName): void {
  if (transaction.get(leases, [namespace, id]) === undefined) throw missing(id);
}

function resourceKey({ namespace, id }: LeaseName, resource: LeaseResource): string[] {
  return [namespace, id, resource.type, resource.id];
}

function leaseField({ id, labels }: LeaseRow, path: readonly string[]): string | undefined {
  if (path[0] === "id") return presentText(id);
  return path[0] === "labels" ? labelAt(labels, path.slice(1)) : undefined;
}

/** @throws INVALID_ARGUMENT, UNIMPLEMENTED */
function requireResource({ type, id }: LeaseResource): void {
  const reason = "lease-resource-invalid";
  const parts = type.split("/");
  switch (parts[0]) {
    case "content":
    case "ingests":
    case "images": {
      if (parts.length !== 1) throw invalidArgument(`invalid resource type ${type}`, { reason });
      const fault = type === "content" ? digestFault(id) : undefined;
      if (fault !== undefined)
        throw invalidArgument(`invalid content resource id ${id}: ${fault}`, { reason });
      return;
    }
    case "snapshots":
      if (parts.length !== 2) throw invalidArgument(`invalid snapshot resource type ${type}`, { reason });
      return;
    default:
      throw unimplemented(`resource type ${type} not supported yet`, { reason });
  }
}
