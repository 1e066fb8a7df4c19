import type { Digest } from "../bytes/index.js";
import type { LayerRequest } from "../layer/index.js";
import type { Descriptor } from "../oci/index.js";

export interface ResolveLayer {
  /** `<namespace>/<sequence>/<client's key>` behind containerd. */
  readonly key: string;
  /** Chain id that the layer is going to have. */
  readonly target: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Snapshots stand on it already: it is wanted even where its client could extract it. Absent: no. */
  readonly isNeeded?: boolean;
  readonly signal: AbortSignal;
}

/** What is known of the layer that a client is about to extract. */
export interface LayerKnowledge {
  /** Image reference; "" where unknown. */
  readonly reference: string;
  readonly digest: Digest | undefined;
}

export type Resolution =
  | {
      readonly kind: "layer";
      readonly request: LayerRequest;
      /** Of the image; absent or undefined: nobody told. */
      readonly manifest?: Digest | undefined;
      /** The other layers of the same image, nearest above first. */
      readonly neighbours: readonly LayerRequest[];
    }
  | {
      readonly kind: "unknown";
      /** A stable word for metrics and `explain`. */
      readonly reason: string;
      readonly message: string;
      readonly hint: string | undefined;
      readonly known: LayerKnowledge;
    };

/** Finds out which layer of which image a client means. No network. */
export interface LayerResolver {
  resolve(request: ResolveLayer): Promise<Resolution>;
}

export interface LayerQuery {
  readonly namespace: string;
  readonly chainId: string;
  /** What labels told already: only images that have this blob are looked at, and the reference is not looked for. */
  readonly told?: { readonly reference: string | undefined; readonly digest: Digest | undefined };
  readonly signal?: AbortSignal | undefined;
}

export interface BlobQuery {
  readonly namespace: string;
  readonly digest: Digest;
  readonly signal?: AbortSignal | undefined;
}

export interface FoundLayer {
  /** Image reference, or `host/repository@digest`. */
  readonly reference: string;
  readonly layer: Descriptor;
  /** Of its uncompressed archive, as the image's config has it. */
  readonly diffId: Digest;
  readonly manifestDigest: Digest;
  readonly manifestAnnotations: Readonly<Record<string, string>>;
  /** The other layers of the image. */
  readonly neighbours: readonly { readonly layer: Descriptor; readonly diffId: Digest }[];
}

/** Looks a layer up in what the host's container runtime has already pulled of its image. */
export interface HostContent {
  /** undefined: not there, or not in time. */
  findLayer(query: LayerQuery): Promise<FoundLayer | undefined>;
  /** Whether the client has the blob already. False: not there, or not known in time. */
  hasBlob(query: BlobQuery): Promise<boolean>;
}
