import type { Digest } from "../bytes/index.js";
import type { Descriptor } from "../oci/index.js";
import type { BlobSource, PushBlob, PushManifest, PushOutcome } from "../registry/index.js";

export interface Waiting {
  readonly signal?: AbortSignal | undefined;
}

/** A manifest or index as it is kept, verified. */
export interface ImageDocument {
  readonly bytes: Buffer;
  readonly digest: Digest;
  /** "" where the place does not tell: then the document itself does. */
  readonly mediaType: string;
}

/** A repository, between which a registry moves blobs without a client. */
export interface RepositoryPlace {
  readonly registry: string;
  readonly repository: string;
}

/** An image that can be read: in a registry, an OCI layout, an archive or a content store. */
export interface ImageSource extends AsyncDisposable {
  /** For people: `registry.example/library/python:3.12`, `oci:/srv/image:3.12`. */
  readonly description: string;
  /** Undefined for what is no registry's. */
  readonly repository: RepositoryPlace | undefined;
  /** What the image's name stands for. @throws NOT_FOUND */
  root(options?: Waiting): Promise<ImageDocument>;
  /** A manifest or index that another one names, verified. @throws NOT_FOUND, DATA_LOSS */
  document(descriptor: Pick<Descriptor, "digest">, options?: Waiting): Promise<ImageDocument>;
  /** A blob for reading at any place. Its bytes are not verified. @throws NOT_FOUND */
  openBlob(descriptor: Pick<Descriptor, "digest" | "size">, options?: Waiting): Promise<BlobSource>;
  /** What refers to a manifest of this place; none where the place keeps no such list. */
  referrers(subject: Digest, options?: Waiting): Promise<readonly Descriptor[]>;
}

export interface NameOptions extends Waiting {
  /** Put behind the image's name, for what goes along with it: `-esgztoc`. */
  readonly suffix?: string | undefined;
}

/** Where an image can be written. Blobs come before the manifests that name them. */
export interface ImageTarget extends AsyncDisposable {
  readonly description: string;
  /** Undefined for what is no registry's. */
  readonly repository: RepositoryPlace | undefined;
  /** Whether a blob of an earlier run is there. */
  hasBlob(descriptor: Pick<Descriptor, "digest" | "size">, options?: Waiting): Promise<boolean>;
  /** @throws DATA_LOSS when the bytes are not what the digest says */
  pushBlob(blob: PushBlob): Promise<PushOutcome>;
  /** With `tag` absent, under its digest only. */
  pushManifest(manifest: PushManifest): Promise<void>;
  /**
   * Gives the image its name, as the last step: `root` is there by its digest. A name with a suffix comes before that
   * without. @throws INVALID_ARGUMENT `name-missing` when a suffix has no name to stand behind
   */
  name(root: Descriptor, options?: NameOptions): Promise<void>;
}
