import { alreadyExists, invalidArgument, type LazuliError, notFound } from "../errors/index.js";
import { ensureNamespace, requireIdentifier, requireLabels } from "./checks.js";
import { labelAt, matching, presentText } from "./field-paths.js";
import type { Metadata } from "./metadata.js";
import type { RuleTableOptions } from "./namespace-table.js";
import type { SandboxRow } from "./rows.js";
import { storedLabels } from "./snapshot-changes.js";
import { sandboxes } from "./tables.js";
import { withField } from "./workload.js";

export type SandboxRequest = Omit<SandboxRow, "createdAt" | "updatedAt">;

interface SandboxName {
  readonly namespace: string;
  readonly id: string;
}

/** What a request without field paths replaces. */
const MUTABLE_FIELDS = ["labels", "extensions", "spec", "runtime"];

/** The sandboxes with the rules of containerd's store (from 1.7 on). Changes are durable when their promise resolves. */
export class SandboxTable {
  readonly #metadata: Metadata;
  readonly #now: () => bigint;

  constructor(options: RuleTableOptions) {
    this.#metadata = options.metadata;
    this.#now = options.now;
  }

  /** @throws NOT_FOUND */
  get({ namespace, id }: SandboxName): SandboxRow {
    const row = this.#metadata.get(sandboxes, [namespace, id]);
    if (row === undefined) throw missing(id);
    return row;
  }

  /** In the order of the ids. @throws INVALID_ARGUMENT for a filter */
  list(request: { readonly namespace: string; readonly filters: readonly string[] }): SandboxRow[] {
    return matching(this.#metadata.entries(sandboxes, [request.namespace]), request.filters, sandboxField);
  }

  /** @throws INVALID_ARGUMENT, ALREADY_EXISTS */
  async create(request: SandboxRequest): Promise<SandboxRow> {
    const { namespace, id } = request;
    requireValid(request, "failed to validate sandbox: ");
    return await this.#metadata.write((transaction) => {
      if (transaction.get(sandboxes, [namespace, id]) !== undefined) {
        throw alreadyExists(`write error: sandbox bucket ${JSON.stringify(id)} already exists`, {
          subject: id,
          reason: "sandbox-exists",
        });
      }
      ensureNamespace(transaction, namespace);
      const now = this.#now();
      const row = { ...request, labels: storedLabels(request.labels), createdAt: now, updatedAt: now };
      transaction.put(sandboxes, [namespace, id], row);
      return row;
    });
  }

  /**
   * Field paths `labels[.<key>]`, `extensions[.<key>]`, `spec`, `runtime`; none: all of them.
   * @throws INVALID_ARGUMENT, NOT_FOUND
   */
  async update(request: SandboxRequest & { readonly fieldPaths: readonly string[] }): Promise<SandboxRow> {
    const { namespace, id, fieldPaths } = request;
    return await this.#metadata.write((transaction) => {
      const row = transaction.get(sandboxes, [namespace, id]);
      if (row === undefined) throw missing(id);
      if (fieldPaths.length === 0 && row.runtime.name !== request.runtime.name) {
        throw invalidArgument("sandbox.Runtime.Name field is immutable", {
          subject: id,
          reason: "field-immutable",
        });
      }
      let next = row;
      for (const path of fieldPaths.length === 0 ? MUTABLE_FIELDS : fieldPaths) {
        next = changed(next, request, path);
      }
      requireValid(next);
      const updated = { ...next, labels: storedLabels(next.labels), updatedAt: this.#now() };
      transaction.put(sandboxes, [namespace, id], updated);
      return updated;
    });
  }

  /** @throws NOT_FOUND */
  async delete({ namespace, id }: SandboxName): Promise<void> {
    await this.#metadata.write(
      (transaction) => {
        if (transaction.get(sandboxes, [namespace, id]) === undefined) {
          throw notFound(`failed to delete sandbox ${JSON.stringify(id)}`, {
            subject: id,
            reason: "sandbox-missing",
          });
        }
        transaction.delete(sandboxes, [namespace, id]);
      },
      { isRemoval: true },
    );
  }
}

function missing(id: string): LazuliError {
  return notFound(`bucket ${JSON.stringify(id)} not found`, { subject: id, reason: "sandbox-missing" });
}

function sandboxField(row: SandboxRow, path: readonly string[]): string | undefined {
  switch (path[0]) {
    case "id":
      return presentText(row.id);
    case "sandboxer":
      return presentText(row.sandboxer);
    case "runtime":
      return path[1] === "name" ? presentText(row.runtime.name) : undefined;
    case "labels":
      return labelAt(row.labels, path.slice(1));
    default:
      return undefined;
  }
}

function changed(row: SandboxRow, request: SandboxRequest, path: string): SandboxRow {
  if (path === "runtime") return { ...row, runtime: request.runtime };
  const next = withField(row, request, path);
  if (next !== undefined) return next;
  throw invalidArgument(`cannot update ${JSON.stringify(path)} field on sandbox ${JSON.stringify(row.id)}`, {
    subject: row.id,
    reason: "field-path-invalid",
  });
}

function requireValid(row: SandboxRequest, context = ""): void {
  requireIdentifier(row.id, `${context}invalid sandbox ID: `);
  requireLabels(row.labels, "sandbox.Labels");
  if (Object.hasOwn(row.extensions, "")) {
    throw invalidArgument("sandbox.Extension keys must not be zero-length", { reason: "sandbox-invalid" });
  }
  if (row.runtime.name === "") {
    throw invalidArgument("sandbox.Runtime.Name must be set", { reason: "sandbox-invalid" });
  }
}
