import type { Digest } from "../bytes/index.js";
import type { ImageLayer, Platform } from "../oci/index.js";
import { parseReference } from "../oci/index.js";
import type { Registry } from "../registry/index.js";
import { type ImageSource, registrySource } from "../transfer/index.js";
import type { Connection } from "./connection.js";
import { contentTarget } from "./content-image.js";
import { copyBlob, copyImage } from "./copy-image.js";
import { storeImage } from "./images.js";
import type { Labels, Target, Waiting } from "./messages.js";
import type { SnapshotterFacts } from "./plugins.js";
import type { OnPullEvent } from "./pull-event.js";
import { readPlatformImage } from "./read-image.js";
import { type LazyMode, unpackImage } from "./unpack.js";

export interface PullByClientOptions extends Waiting {
  readonly reference: string;
  readonly registry: Registry;
  readonly platforms: readonly Platform[] | "all";
  /** Undefined: the image is not unpacked. */
  readonly unpack: { readonly platform: Platform; readonly snapshotter: SnapshotterFacts } | undefined;
  readonly lazy: LazyMode;
  readonly labels: Labels;
  readonly onEvent: OnPullEvent | undefined;
}

/** Fetches an image into the content store and unpacks it, as containerd's own client does. Must run under a lease. */
export async function pullByClient(connection: Connection, options: PullByClientOptions): Promise<Target> {
  const { reference, unpack, lazy, onEvent, signal } = options;
  const source = registrySource(options.registry, reference);
  const { registry: host, repository } = parseReference(reference);
  const target = contentTarget({
    content: connection.content,
    name: reference,
    // Without the port, as containerd writes it.
    labels: { [`containerd.io/distribution.source.${host.replace(/:\d+$/, "")}`]: repository },
    onName: async () => undefined,
    onBytes: (digest, bytes) => onEvent?.({ kind: "bytes", digest, bytes }),
  });
  const isLazy =
    unpack !== undefined && lazy !== "never" && (lazy === "always" || unpack.snapshotter.isRemote);
  const events = {
    onFound: ({ digest, size }: { digest: Digest; size: number }) =>
      onEvent?.({ kind: "found", digest, bytes: size }),
    onDone: ({ digest }: { digest: Digest }) => onEvent?.({ kind: "done", digest }),
  };
  const { platforms } = options;
  const root = await copyImage({ source, target, platforms, copiesLayers: !isLazy, ...events, signal });
  if (unpack !== undefined) {
    const { platform, snapshotter } = unpack;
    const image = await readPlatformImage(connection.content, root, { platform, signal });
    await unpackImage(connection, {
      name: reference,
      image,
      snapshotter: snapshotter.name,
      isLazy,
      isLazyOnly: lazy === "always",
      fetchLayer: layerFetcher({ source, target, image: image.layers, events, isHere: !isLazy, signal }),
      onEvent,
      signal,
    });
  }
  await storeImage(connection, { name: reference, target: root, labels: options.labels, signal });
  return root;
}

/** Fetches the layers from the first that is asked for upwards, while the lower ones are unpacked. */
function layerFetcher(parts: {
  readonly source: ImageSource;
  readonly target: ReturnType<typeof contentTarget>;
  readonly image: readonly ImageLayer[];
  readonly events: {
    onFound(blob: { digest: Digest; size: number }): void;
    onDone(blob: { digest: Digest }): void;
  };
  /** All layers are there already. */
  readonly isHere: boolean;
  readonly signal: AbortSignal | undefined;
}): (layer: ImageLayer) => Promise<void> {
  return async ({ descriptor }) => {
    if (parts.isHere) return;
    parts.events.onFound(descriptor);
    await copyBlob(parts, descriptor);
    parts.events.onDone(descriptor);
  };
}
