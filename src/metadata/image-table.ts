import type { Digest } from "../bytes/index.js";
import { alreadyExists, invalidArgument, type LazuliError, notFound } from "../errors/index.js";
import { digestFault, ensureNamespace, requireLabels } from "./checks.js";
import { keyUnder, labelAt, matching, presentText, withKeyOf } from "./field-paths.js";
import type { Metadata } from "./metadata.js";
import type { RuleTableOptions } from "./namespace-table.js";
import type { ImageRow, Labels, TargetDescriptor } from "./rows.js";
import { storedLabels } from "./snapshot-changes.js";
import { images } from "./tables.js";

/** What a client says; the digest is checked here. */
export type ImageTarget = Omit<TargetDescriptor, "digest"> & { readonly digest: string };

export interface ImageRequest {
  readonly namespace: string;
  readonly name: string;
  readonly labels: Labels;
  readonly target: ImageTarget;
}

/** The images with the rules and messages of containerd's store. Changes are durable when their promise resolves. */
export class ImageTable {
  readonly #metadata: Metadata;
  readonly #now: () => bigint;

  constructor(options: RuleTableOptions) {
    this.#metadata = options.metadata;
    this.#now = options.now;
  }

  /** @throws NOT_FOUND */
  get({ namespace, name }: { readonly namespace: string; readonly name: string }): ImageRow {
    const row = this.#metadata.get(images, [namespace, name]);
    if (row === undefined) throw missing(name);
    return row;
  }

  /** In the order of the names. @throws INVALID_ARGUMENT for a filter */
  list(request: { readonly namespace: string; readonly filters: readonly string[] }): ImageRow[] {
    return matching(this.#metadata.entries(images, [request.namespace]), request.filters, imageField);
  }

  /** @throws INVALID_ARGUMENT, ALREADY_EXISTS */
  async create(request: ImageRequest): Promise<ImageRow> {
    const { namespace, name } = request;
    requireValid(request);
    return await this.#metadata.write((transaction) => {
      if (transaction.get(images, [namespace, name]) !== undefined) {
        throw alreadyExists(`image ${JSON.stringify(name)}`, { subject: name, reason: "image-exists" });
      }
      ensureNamespace(transaction, namespace);
      const now = this.#now();
      const row = { ...storedImage(request), createdAt: now, updatedAt: now };
      transaction.put(images, [namespace, name], row);
      return row;
    });
  }

  /**
   * Field paths `labels`, `labels.<key>`, `target`, `annotations`, `annotations.<key>`; none: replaces all of it.
   * @throws INVALID_ARGUMENT, NOT_FOUND
   */
  async update(request: ImageRequest & { readonly fieldPaths: readonly string[] }): Promise<ImageRow> {
    const { namespace, name, fieldPaths } = request;
    if (name === "") {
      throw invalidArgument("image name is required for update", { reason: "image-invalid" });
    }
    return await this.#metadata.write((transaction) => {
      const row = transaction.get(images, [namespace, name]);
      if (row === undefined) throw missing(name);
      let next: ImageRequest = fieldPaths.length === 0 ? request : row;
      for (const path of fieldPaths) next = changed(next, request, path);
      requireValid(next);
      const updated = { ...storedImage(next), createdAt: row.createdAt, updatedAt: this.#now() };
      transaction.put(images, [namespace, name], updated);
      return updated;
    });
  }

  /** @throws NOT_FOUND when there is none, or none with this target's digest */
  async delete(request: {
    readonly namespace: string;
    readonly name: string;
    readonly target?: string | undefined;
  }): Promise<void> {
    const { namespace, name, target } = request;
    await this.#metadata.write(
      (transaction) => {
        const row = transaction.get(images, [namespace, name]);
        if (row === undefined) throw missing(name);
        if (target !== undefined && target !== row.target.digest) {
          throw notFound(`image ${JSON.stringify(name)} has the target ${row.target.digest}, not ${target}`, {
            subject: name,
            reason: "image-target-differs",
          });
        }
        transaction.delete(images, [namespace, name]);
      },
      { isRemoval: true },
    );
  }
}

function missing(name: string): LazuliError {
  return notFound(`image ${JSON.stringify(name)}`, { subject: name, reason: "image-missing" });
}

function imageField({ name, labels, target }: ImageRow, path: readonly string[]): string | undefined {
  switch (path[0]) {
    case "name":
      return presentText(name);
    case "target":
      if (path[1] === "digest") return presentText(target.digest);
      return path[1] === "mediatype" ? presentText(target.mediaType) : undefined;
    case "labels":
      return labelAt(labels, path.slice(1));
    case "annotations":
      return labelAt(target.annotations, path.slice(1));
    default:
      return undefined;
  }
}

function changed(row: ImageRequest, request: ImageRequest, path: string): ImageRequest {
  const label = keyUnder("labels", path);
  if (label !== undefined) {
    return { ...row, labels: withKeyOf(row.labels, { map: request.labels, key: label, absent: "" }) };
  }
  const annotation = keyUnder("annotations", path);
  if (annotation !== undefined) {
    const map = request.target.annotations;
    const annotations = withKeyOf(row.target.annotations, { map, key: annotation, absent: "" });
    return { ...row, target: { ...row.target, annotations } };
  }
  switch (path) {
    case "labels":
      return { ...row, labels: request.labels };
    case "target":
      return { ...row, target: request.target };
    case "annotations":
      return { ...row, target: { ...row.target, annotations: request.target.annotations } };
    default:
      throw invalidArgument(
        `cannot update ${JSON.stringify(path)} field on image ${JSON.stringify(row.name)}`,
        { subject: row.name, reason: "field-path-invalid" },
      );
  }
}

function requireValid({ name, labels, target }: ImageRequest): void {
  const reason = "image-invalid";
  if (name === "") throw invalidArgument("image name must not be empty", { reason });
  requireLabels(labels, "image.Labels");
  const fault = digestFault(target.digest);
  if (fault !== undefined) {
    throw invalidArgument(`Target.Digest ${JSON.stringify(target.digest)} invalid: ${fault}`, { reason });
  }
  if (target.size <= 0) throw invalidArgument("Target.Size must be greater than zero", { reason });
  if (target.mediaType === "") throw invalidArgument("Target.MediaType must be set", { reason });
}

/** Only for what `requireValid` has passed. */
function storedImage({
  namespace,
  name,
  labels,
  target,
}: ImageRequest): Omit<ImageRow, "createdAt" | "updatedAt"> {
  const { mediaType, digest, size, annotations } = target;
  return {
    namespace,
    name,
    labels: storedLabels(labels),
    target: { mediaType, digest: digest as Digest, size, annotations: storedLabels(annotations) },
  };
}
