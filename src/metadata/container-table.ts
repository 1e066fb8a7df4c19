import { alreadyExists, invalidArgument, type LazuliError, notFound } from "../errors/index.js";
import { ensureNamespace, requireIdentifier, requireLabels } from "./checks.js";
import { labelAt, matching, presentText } from "./field-paths.js";
import type { Metadata } from "./metadata.js";
import type { RuleTableOptions } from "./namespace-table.js";
import type { ContainerRow } from "./rows.js";
import { storedLabels } from "./snapshot-changes.js";
import { containers, namespaces } from "./tables.js";
import type { Transaction } from "./transaction.js";
import { withField } from "./workload.js";

export type ContainerRequest = Omit<ContainerRow, "createdAt" | "updatedAt">;

interface ContainerName {
  readonly namespace: string;
  readonly id: string;
}

/** What a request without field paths replaces. */
const MUTABLE_FIELDS = ["labels", "spec", "extensions", "image", "snapshotkey"];

/** The containers with the rules and messages of containerd's store. Changes are durable when their promise resolves. */
export class ContainerTable {
  readonly #metadata: Metadata;
  readonly #now: () => bigint;

  constructor(options: RuleTableOptions) {
    this.#metadata = options.metadata;
    this.#now = options.now;
  }

  /** @throws NOT_FOUND */
  get({ namespace, id }: ContainerName): ContainerRow {
    const row = this.#metadata.get(containers, [namespace, id]);
    if (row === undefined) {
      throw missing(id, `container ${JSON.stringify(id)} in namespace ${JSON.stringify(namespace)}`);
    }
    return row;
  }

  /** In the order of the ids. @throws INVALID_ARGUMENT for a filter */
  list(request: { readonly namespace: string; readonly filters: readonly string[] }): ContainerRow[] {
    return matching(this.#metadata.entries(containers, [request.namespace]), request.filters, containerField);
  }

  /** @throws INVALID_ARGUMENT, ALREADY_EXISTS */
  async create(request: ContainerRequest): Promise<ContainerRow> {
    const { namespace, id } = request;
    requireValid(request, "create container failed validation");
    return await this.#metadata.write((transaction) => {
      if (transaction.get(containers, [namespace, id]) !== undefined) {
        throw alreadyExists(`container ${JSON.stringify(id)}`, { subject: id, reason: "container-exists" });
      }
      ensureNamespace(transaction, namespace);
      const now = this.#now();
      const row = { ...request, labels: storedLabels(request.labels), createdAt: now, updatedAt: now };
      transaction.put(containers, [namespace, id], row);
      return row;
    });
  }

  /**
   * Field paths `labels[.<key>]`, `extensions[.<key>]`, `spec`, `image`, `snapshotkey`; none: all of them.
   * @throws INVALID_ARGUMENT, NOT_FOUND
   */
  async update(
    request: ContainerRequest & { readonly fieldPaths: readonly string[] },
  ): Promise<ContainerRow> {
    const { namespace, id, fieldPaths } = request;
    if (id === "") throw invalidArgument("must specify a container id", { reason: "container-invalid" });
    return await this.#metadata.write((transaction) => {
      const row = requireContainer(transaction, request, "update");
      if (fieldPaths.length === 0) requireSameImmutables(row, request);
      let next = row;
      for (const path of fieldPaths.length === 0 ? MUTABLE_FIELDS : fieldPaths) {
        next = changed(next, request, path);
      }
      requireValid(next, "update failed validation");
      const updated = { ...next, labels: storedLabels(next.labels), updatedAt: this.#now() };
      transaction.put(containers, [namespace, id], updated);
      return updated;
    });
  }

  /** @throws NOT_FOUND */
  async delete({ namespace, id }: ContainerName): Promise<void> {
    await this.#metadata.write(
      (transaction) => {
        requireContainer(transaction, { namespace, id }, "delete");
        transaction.delete(containers, [namespace, id]);
      },
      { isRemoval: true },
    );
  }
}

function missing(id: string, message: string): LazuliError {
  return notFound(message, { subject: id, reason: "container-missing" });
}

function requireContainer(
  transaction: Transaction,
  { namespace, id }: ContainerName,
  verb: "update" | "delete",
): ContainerRow {
  const row = transaction.get(containers, [namespace, id]);
  if (row !== undefined) return row;
  if (transaction.get(namespaces, namespace) === undefined) {
    throw missing(
      id,
      `cannot ${verb} container ${JSON.stringify(id)} in namespace ${JSON.stringify(namespace)}`,
    );
  }
  throw missing(id, `container ${verb === "update" ? JSON.stringify(id) : id}`);
}

function containerField(row: ContainerRow, path: readonly string[]): string | undefined {
  switch (path[0]) {
    case "id":
      return presentText(row.id);
    case "runtime":
      return path[1] === "name" ? presentText(row.runtime.name) : undefined;
    case "image":
      return presentText(row.image);
    case "labels":
      return labelAt(row.labels, path.slice(1));
    default:
      return undefined;
  }
}

function changed(row: ContainerRow, request: ContainerRequest, path: string): ContainerRow {
  if (path === "image") return { ...row, image: request.image };
  if (path === "snapshotkey") return { ...row, snapshotKey: request.snapshotKey };
  const next = withField(row, request, path);
  if (next !== undefined) return next;
  throw invalidArgument(`cannot update ${JSON.stringify(path)} field on ${JSON.stringify(row.id)}`, {
    subject: row.id,
    reason: "field-path-invalid",
  });
}

function requireSameImmutables(row: ContainerRow, request: ContainerRequest): void {
  const reason = "field-immutable";
  if (row.snapshotter !== request.snapshotter) {
    throw invalidArgument("container.Snapshotter field is immutable", { subject: row.id, reason });
  }
  if (row.runtime.name !== request.runtime.name) {
    throw invalidArgument("container.Runtime.Name field is immutable", { subject: row.id, reason });
  }
}

function requireValid(row: ContainerRequest, what: string): void {
  const invalid = (text: string): LazuliError =>
    invalidArgument(`${what}: ${text}`, { subject: row.id, reason: "container-invalid" });
  requireIdentifier(row.id, `${what}: container.ID: `);
  if (Object.hasOwn(row.extensions, "")) throw invalid("container.Extension keys must not be zero-length");
  requireLabels(row.labels, `${what}: containers.Labels`);
  if (row.runtime.name === "") throw invalid("container.Runtime.Name must be set");
  if (row.spec === undefined) throw invalid("container.Spec must be set");
  if (row.snapshotKey !== "" && row.snapshotter === "") {
    throw invalid("container.Snapshotter must be set if container.SnapshotKey is set");
  }
}
