import type { LogicalBlobs, NamespacedContent } from "../content/index.js";
import { invalidArgument } from "../errors/index.js";
import type { EventExchange } from "../events/index.js";
import { ImageTable, LeaseTable, leases } from "../metadata/index.js";
import { type Descriptor, layerType, type Platform } from "../oci/index.js";
import type { NamespacedSnapshotter } from "../snapshotters/index.js";
import { StreamRegistry } from "../streaming/index.js";
import {
  createTransferrer,
  folderVerifier,
  type LayerApplier,
  openTransferRegistry,
  type Transferrer,
  type UnpackTarget,
} from "../transfer/index.js";
import { inCall } from "./call-context.js";
import type { Config } from "./config-keys.js";
import { findSnapshotter } from "./find-snapshotter.js";
import { makeRegistry, type NodeParts } from "./node-parts.js";
import type { ServedSnapshotter } from "./served-snapshotters.js";
import type { Startup } from "./startup.js";

export interface TransferPartsOptions extends NodeParts {
  readonly config: Config;
  readonly version: string;
  readonly events: EventExchange;
  readonly content: NamespacedContent;
  readonly blobs: LogicalBlobs;
  readonly snapshotters: ReadonlyMap<string, NamespacedSnapshotter>;
  readonly served: readonly ServedSnapshotter[];
  readonly applier: LayerApplier;
}

export interface DaemonTransfer {
  readonly transferrer: Transferrer;
  readonly streams: StreamRegistry;
}

/** What moves images in the daemon, and the streams that clients open for it. */
export async function startTransfer(
  startup: Startup,
  options: TransferPartsOptions,
): Promise<DaemonTransfer> {
  const { config, version, metadata, binding, content, blobs, sharedCredentials, credentialProviders } =
    options;
  const now = (): bigint => binding.realtimeNanoseconds();
  const streams = new StreamRegistry();
  await startup.part(
    "streams",
    () => endStreamsWithLeases(options, streams),
    (watch) => watch[Symbol.dispose](),
  );
  const { transfer, imageVerifier, registry } = config;
  const transferrer = createTransferrer({
    content: (call) => content.for(call),
    wholeContent: (call) => blobs.over(content.for(call)),
    images: new ImageTable({ metadata, now }),
    leases: new LeaseTable({ metadata, now }),
    events: options.events,
    targets: unpackTargets(options),
    unpackPlatforms:
      transfer.platforms.length === 0
        ? [{ os: "linux", architecture: "" }]
        : transfer.platforms.map(platformOf),
    platform: ownPlatform(),
    lazy: transfer.lazy,
    mayBeLazy: (layer) => mayBeLazy(config, layer),
    applier: options.applier,
    verifier: folderVerifier(imageVerifier),
    openRegistry: async (access) =>
      openTransferRegistry({
        make: (facts) => {
          const credentials = [...facts.credentials, ...credentialProviders];
          return makeRegistry(config, version, { ...facts, credentials, besides: options.registry });
        },
        hostsDirectories: registry.configPaths,
        shared: sharedCredentials,
        access,
      }),
    downloadsMax: transfer.downloadsMax,
    unpacksMax: transfer.unpacksMax,
    uploadsMax: transfer.uploadsMax,
    now,
  });
  return {
    transferrer: {
      ...transferrer,
      pull: (call, request) => inCall(call, () => transferrer.pull(call, request)),
      importImages: (call, request) => inCall(call, () => transferrer.importImages(call, request)),
    },
    streams,
  };
}

function endStreamsWithLeases({ metadata }: TransferPartsOptions, streams: StreamRegistry): Disposable {
  return metadata.observe((changes) => {
    for (const { table, key, record } of changes) {
      if (table !== leases.name || record !== undefined) continue;
      const [namespace, lease] = key;
      streams.endLease({ namespace: String(namespace), lease: String(lease) });
    }
  });
}

function unpackTargets({ config, served, snapshotters }: TransferPartsOptions): readonly UnpackTarget[] {
  const names = config.transfer.snapshotter;
  for (const name of names) findSnapshotter(snapshotters, name);
  const targets = served.map(({ name, isLazy }) => ({
    name,
    isLazy,
    snapshotter: findSnapshotter(snapshotters, name),
  }));
  if (names.length > 0) return names.map((name) => targets.find((target) => target.name === name)!);
  return [...targets].sort((left, right) => Number(right.isLazy) - Number(left.isLazy));
}

/** By what its descriptor says: an annotation with a table of contents, or bytes enough to be had whole by the engine. */
function mayBeLazy({ layer: { pullWhole, pullWholeBytesMin } }: Config, layer: Descriptor): boolean {
  const hasIndex = Object.keys(layer.annotations).some((key) =>
    /^(containerd\.io\/snapshot\/stargz\/toc\.digest|io\.github\.containers\.zstd-chunked\.|io\.containers\.zstd-chunked\.)/.test(
      key,
    ),
  );
  if (hasIndex) return true;
  return pullWhole && (layer.size >= pullWholeBytesMin || layerType(layer.mediaType)?.encrypted === true);
}

function ownPlatform(): Platform {
  const names: Readonly<Record<string, string>> = { x64: "amd64", ia32: "386", arm64: "arm64", arm: "arm" };
  return { os: "linux", architecture: names[process.arch] ?? process.arch };
}

/** @throws INVALID_ARGUMENT */
function platformOf(text: string): Platform {
  const [os = "", architecture = "", variant = "", ...more] = text.split("/");
  if (os === "" || architecture === "" || more.length > 0) {
    throw invalidArgument(`Cannot unpack for ${JSON.stringify(text)}: want os/architecture[/variant]`, {
      subject: text,
      reason: "platform-invalid",
      hint: "Check [transfer] platforms",
    });
  }
  return { os, architecture, ...(variant === "" ? {} : { variant }) };
}
