import type { ContentStore } from "../content/index.js";
import type { EventExchange } from "../events/index.js";
import type { ImageTable, LeaseTable } from "../metadata/index.js";
import type { Descriptor, Platform } from "../oci/index.js";
import type { CredentialProvider, Registry } from "../registry/index.js";
import type { NamespacedSnapshotter } from "../snapshotters/index.js";
import type { LayerApplier } from "./unpack-layer.js";
import type { ImageVerifier } from "./verify-image.js";

/** One thing that happened, in containerd's words (core/transfer/local/progress.go). */
export interface TransferEvent {
  readonly event: string;
  readonly name?: string;
  readonly parents?: readonly string[];
  /** Bytes. */
  readonly progress?: number;
  readonly total?: number;
  readonly descriptor?: Descriptor;
}

/** Who transfers, and what it hears of it. */
export interface TransferCall {
  readonly namespace: string;
  /** Holds what is made; without one the transfer takes one of its own. */
  readonly lease: string | undefined;
  readonly signal: AbortSignal;
  readonly report?: ((event: TransferEvent) => void) | undefined;
}

/** How a client wants a registry to be reached (containerd's RegistryResolver). */
export interface RegistryAccess {
  readonly reference: string;
  readonly credentials: CredentialProvider | undefined;
  readonly headers: Readonly<Record<string, string>>;
  /** A `certs.d` folder in place of the daemon's. */
  readonly hostsFolder: string | undefined;
  readonly defaultScheme: "http" | "https" | undefined;
}

/** A registry for one transfer. */
export interface TransferRegistry extends AsyncDisposable {
  readonly registry: Registry;
  /** Whether lazy layers can be read later in the same way, without the client. */
  readonly isLasting: boolean;
  /** Lets lazy layers of the reference use the credential that the client gave, as long as the daemon runs. */
  shareCredential(): Promise<void>;
}

/** How names are given to what is imported (containerd's ImageReference). */
export interface ExtraReference {
  readonly name: string;
  readonly isPrefix: boolean;
  readonly allowOverwrite: boolean;
  readonly addDigest: boolean;
  readonly skipNamedDigest: boolean;
}

export interface UnpackWish {
  readonly platform: Platform;
  /** "" for the default. */
  readonly snapshotter: string;
}

/** containerd's ImageStore: images of a namespace as source or destination. */
export interface ImageStoreWish {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Of an index, the manifests for these; none: all. */
  readonly platforms: readonly Platform[];
  /** Manifests and configs of the other platforms too. */
  readonly allMetadata: boolean;
  /** Manifests of an index that are taken at most; 0: no limit. */
  readonly manifestLimit: number;
  readonly extraReferences: readonly ExtraReference[];
  readonly unpacks: readonly UnpackWish[];
}

export interface ExportWish {
  readonly platforms: readonly Platform[];
  readonly allPlatforms: boolean;
  readonly skipCompatibilityManifest: boolean;
  readonly skipNonDistributable: boolean;
}

/** `auto`: layers that can be lazy are; `always`: one that can't be fails the pull; `never`: all are downloaded. */
export type LazyMode = "auto" | "always" | "never";

/** A snapshotter that images can be unpacked with. */
export interface UnpackTarget {
  readonly name: string;
  readonly isLazy: boolean;
  readonly snapshotter: NamespacedSnapshotter;
}

export interface TransferParts {
  /** What is there; opening a blob does not fetch it. */
  readonly content: (call: {
    readonly namespace: string;
    readonly lease?: string | undefined;
  }) => ContentStore;
  /** The same with the blobs of lazy layers, which are fetched when they are opened. */
  readonly wholeContent: (call: {
    readonly namespace: string;
    readonly lease?: string | undefined;
  }) => ContentStore;
  readonly images: ImageTable;
  readonly leases: LeaseTable;
  readonly events: EventExchange;
  /** The first is the default. */
  readonly targets: readonly UnpackTarget[];
  /** Platforms that are unpacked for; one without an architecture stands for all of its operating system. */
  readonly unpackPlatforms: readonly Platform[];
  /** This machine's. */
  readonly platform: Platform;
  readonly lazy: LazyMode;
  /** Whether the lazy snapshotter is likely to take a layer; those that it won't are downloaded at once. */
  readonly mayBeLazy: (layer: Descriptor) => boolean;
  readonly applier: LayerApplier;
  readonly verifier: ImageVerifier;
  readonly openRegistry: (access: RegistryAccess) => Promise<TransferRegistry>;
  readonly downloadsMax: number;
  readonly unpacksMax: number;
  readonly uploadsMax: number;
  /** Nanoseconds since 1970. */
  readonly now: () => bigint;
}
