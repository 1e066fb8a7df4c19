import { alreadyExists, failedPrecondition, invalidArgument, notFound } from "../errors/index.js";
import { requireIdentifier, requireLabels } from "./checks.js";
import { keyUnder, withKeyOf } from "./field-paths.js";
import type { Metadata } from "./metadata.js";
import type { Labels, NamespaceRow } from "./rows.js";
import { storedLabels } from "./snapshot-changes.js";
import type { Table } from "./table.js";
import {
  containers,
  contents,
  images,
  ingests,
  leaseResources,
  leases,
  namespacedSnapshots,
  namespaces,
  sandboxes,
} from "./tables.js";
import type { Transaction } from "./transaction.js";

export interface RuleTableOptions {
  readonly metadata: Metadata;
  /** Nanoseconds since 1970. */
  readonly now: () => bigint;
}

/** The namespaces with the rules of containerd's store. Changes are durable when their promise resolves. */
export class NamespaceTable {
  readonly #metadata: Metadata;

  constructor(options: RuleTableOptions) {
    this.#metadata = options.metadata;
  }

  /** One that does not exist has no labels, as in containerd. */
  get({ namespace }: { readonly namespace: string }): NamespaceRow {
    return this.#metadata.get(namespaces, namespace) ?? { name: namespace, labels: {} };
  }

  /** In the order of the names. */
  list(): NamespaceRow[] {
    return this.#metadata.values(namespaces);
  }

  /** @throws INVALID_ARGUMENT, ALREADY_EXISTS */
  async create(request: { readonly namespace: string; readonly labels: Labels }): Promise<NamespaceRow> {
    const { namespace: name, labels } = request;
    requireIdentifier(name);
    requireLabels(labels, "namespace.Labels");
    return await this.#metadata.write((transaction) => {
      if (transaction.get(namespaces, name) !== undefined) {
        throw alreadyExists(`namespace ${JSON.stringify(name)}`, {
          subject: name,
          reason: "namespace-exists",
        });
      }
      const row = { name, labels: storedLabels(labels) };
      transaction.put(namespaces, name, row);
      return row;
    });
  }

  /**
   * Sets the labels that the field paths name, or replaces all when there are none; an empty value deletes. Makes the
   * namespace if there is none. @throws INVALID_ARGUMENT
   */
  async update(request: {
    readonly namespace: string;
    readonly labels: Labels;
    readonly fieldPaths: readonly string[];
  }): Promise<NamespaceRow> {
    const { namespace: name, fieldPaths } = request;
    requireIdentifier(name);
    return await this.#metadata.write((transaction) => {
      let labels =
        fieldPaths.length === 0 ? request.labels : (transaction.get(namespaces, name)?.labels ?? {});
      for (const path of fieldPaths) {
        const key = keyUnder("labels", path);
        if (key === undefined) {
          throw invalidArgument(`cannot update ${JSON.stringify(path)} field`, {
            reason: "field-path-invalid",
          });
        }
        labels = withKeyOf(labels, { map: request.labels, key, absent: "" });
      }
      requireLabels(labels, "namespace.Labels");
      const row = { name, labels: storedLabels(labels) };
      transaction.put(namespaces, name, row);
      return row;
    });
  }

  /** @throws NOT_FOUND; FAILED_PRECONDITION when it has images, blobs, containers or snapshots */
  async delete({ namespace: name }: { readonly namespace: string }): Promise<void> {
    const action = (transaction: Transaction): void => {
      const present = contentsOf(transaction, name);
      if (present.length > 0) {
        throw failedPrecondition(
          `namespace ${JSON.stringify(name)} must be empty, but it still has ${present.join(", ")}`,
          { subject: name, reason: "namespace-not-empty" },
        );
      }
      if (transaction.get(namespaces, name) === undefined) {
        throw notFound(`namespace ${JSON.stringify(name)}`, { subject: name, reason: "namespace-missing" });
      }
      transaction.delete(namespaces, name);
      deleteAll(transaction, leases, name);
      deleteAll(transaction, leaseResources, name);
      deleteAll(transaction, ingests, name);
      deleteAll(transaction, sandboxes, name);
    };
    await this.#metadata.write(action, { isRemoval: true });
  }
}

/** What containerd counts, in its words; leases, ingests and sandboxes go with the namespace. */
function contentsOf(transaction: Transaction, namespace: string): string[] {
  const present: string[] = [];
  if (hasRows(transaction, images, namespace)) present.push("images");
  if (hasRows(transaction, contents, namespace)) present.push("blobs");
  if (hasRows(transaction, containers, namespace)) present.push("containers");
  const snapshotters = new Set<string>();
  for (const { value } of transaction.entries(namespacedSnapshots, [namespace]))
    snapshotters.add(value.snapshotter);
  for (const name of snapshotters) present.push(`snapshots on ${JSON.stringify(name)} snapshotter`);
  return present;
}

function hasRows<Value>(transaction: Transaction, table: Table<Value>, namespace: string): boolean {
  for (const _ of transaction.entries(table, [namespace])) return true;
  return false;
}

function deleteAll<Value>(transaction: Transaction, table: Table<Value>, namespace: string): void {
  for (const { key } of transaction.entries(table, [namespace])) transaction.delete(table, key);
}
