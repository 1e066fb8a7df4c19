import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import type { Test } from "tap";
import { type Digest, sha256 } from "../../src/bytes/index.js";
import { namespacedContent, openLocalStore } from "../../src/content/index.js";
import { alreadyExists, notFound } from "../../src/errors/index.js";
import { createEventExchange } from "../../src/events/index.js";
import { loadBinding } from "../../src/fuse/index.js";
import { ImageTable, LeaseTable, openMetadata } from "../../src/metadata/index.js";
import { Registry } from "../../src/registry/index.js";
import {
  fallbackChannel,
  type NamespacedSnapshotter,
  type Snapshotter,
} from "../../src/snapshotters/index.js";
import {
  createTransferrer,
  type ImageStoreWish,
  openTransferRegistry,
  type RegistryAccess,
  SharedCredentials,
  type TransferEvent,
  type TransferParts,
} from "../../src/transfer/index.js";
import {
  type RegistryServer,
  type RegistryServerOptions,
  startRegistry,
} from "../../testing/registry/index.js";
import { SmallImages, type SmallLayer } from "../../testing/transfer/small-image.js";

export const forever = new AbortController().signal;
export const linux = { os: "linux", architecture: "amd64" };

/** A snapshotter in memory: layers in `lazy` are had by their labels, the others are left to the client. */
export class FakeSnapshotter {
  readonly committed = new Set<string>();
  readonly active = new Set<string>();
  readonly labels: Readonly<Record<string, string>>[] = [];
  readonly lazy = new Set<string>();

  readonly namespaced: NamespacedSnapshotter = {
    for: () => this.#snapshotter() as unknown as Snapshotter,
    sweep: async () => ({ removed: 0 }) as never,
  };

  #snapshotter(): Partial<Snapshotter> {
    return {
      stat: async (name) => {
        if (!this.committed.has(name)) throw notFound(`snapshot ${name}`);
        return { name } as never;
      },
      prepare: async ({ key, labels, parent }) => {
        if (parent !== "" && !this.committed.has(parent)) throw notFound(`parent ${parent}`);
        this.labels.push(labels);
        const target = labels["containerd.io/snapshot.ref"];
        const digest = labels["containerd.io/snapshot/cri.layer-digest"] ?? "";
        if (target !== undefined && this.lazy.has(digest)) {
          this.committed.add(target);
          throw alreadyExists(`target snapshot ${target}`);
        }
        if (target !== undefined)
          fallbackChannel.publish({ key: `default/1/${key}`, reason: "no-toc-digest" });
        this.active.add(key);
        return [{ type: "bind", source: "/nowhere", target: "", options: [] }];
      },
      commit: async ({ name, key }) => {
        this.active.delete(key);
        this.committed.add(name);
      },
      remove: async (key) => {
        this.active.delete(key);
      },
    };
  }
}

export interface TransferRigOptions {
  readonly registry?: RegistryServerOptions;
  readonly parts?: Partial<TransferParts>;
}

/** A transferrer over real stores, with a registry that misbehaves on script. */
export async function transferRig(t: Test, options: TransferRigOptions = {}) {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-transfer-"));
  const binding = loadBinding();
  const now = (): bigint => binding.realtimeNanoseconds();
  const metadata = await openMetadata({ directory: join(folder, "metadata") });
  const store = await openLocalStore({ root: join(folder, "content"), now, fileSteps: binding.fileSteps });
  const server = await startRegistry(options.registry ?? {});
  t.teardown(async () => {
    await server.stop();
    await store.close();
    await metadata.close();
    await rm(folder, { recursive: true, force: true });
  });
  const content = namespacedContent({ metadata, store, now });
  const snapshots = new FakeSnapshotter();
  const shared = new SharedCredentials();
  const images = new ImageTable({ metadata, now });
  const leases = new LeaseTable({ metadata, now });
  const parts: TransferParts = {
    content: (call) => content.for(call),
    wholeContent: (call) => content.for(call),
    images,
    leases,
    events: createEventExchange({ now }),
    targets: [{ name: "lazy", isLazy: true, snapshotter: snapshots.namespaced }],
    unpackPlatforms: [linux],
    platform: linux,
    lazy: "auto",
    mayBeLazy: ({ digest }) => snapshots.lazy.has(digest),
    applier: {
      apply: async ({ blob }) => ({ digest: sha256(gunzipSync(await blob.read(0, blob.size))) }),
    },
    verifier: { judge: async () => ({ isAccepted: true, reason: "" }) },
    openRegistry: async (access) =>
      openTransferRegistry({
        make: (facts) =>
          new Registry({
            ...facts,
            retry: { attempts: 2, minWaitMs: 1, maxWaitMs: 2 },
            dockerConfigPaths: [],
          }),
        hostsDirectories: [],
        shared,
        access,
      }),
    downloadsMax: 3,
    unpacksMax: 1,
    uploadsMax: 3,
    now,
    ...options.parts,
  };
  const events: TransferEvent[] = [];
  const call = {
    namespace: "default",
    lease: undefined,
    signal: forever,
    report: (event: TransferEvent): void => void events.push(event),
  };
  const inside = content.for({ namespace: "default" });
  return {
    folder,
    server,
    snapshots,
    shared,
    images,
    leases,
    events,
    call,
    content: inside,
    transferrer: createTransferrer(parts),
    /** What a transfer that failed may not leave; ingests are named. */
    leftovers: async () => ({
      leases: leases.list({ namespace: "default", filters: [] }).map(({ id }) => id),
      active: [...snapshots.active],
      images: images.list({ namespace: "default", filters: [] }).map(({ name }) => name),
    }),
    ingests: async () => (await inside.statuses([])).map(({ ref }) => ref),
  };
}

export type TransferRig = Awaited<ReturnType<typeof transferRig>>;

export function wish(more: Partial<ImageStoreWish> = {}): ImageStoreWish {
  return {
    name: "",
    labels: {},
    platforms: [],
    allMetadata: false,
    manifestLimit: 0,
    extraReferences: [],
    unpacks: [],
    ...more,
  };
}

export function accessTo(reference: string, more: Partial<RegistryAccess> = {}): RegistryAccess {
  const none = { credentials: undefined, headers: {}, hostsFolder: undefined, defaultScheme: undefined };
  return { reference, ...none, ...more };
}

/** Puts an image of gzip layers into the registry. */
export async function publish(
  { folder, server }: { readonly folder: string; readonly server: RegistryServer },
  layers: readonly SmallLayer[],
): Promise<{ reference: string; layout: string; digest: Digest }> {
  const layout = join(folder, "layout");
  const images = new SmallImages(layout);
  const { digest } = await images.image(layers);
  const root = { digest, mediaType: "application/vnd.oci.image.manifest.v1+json", size: 0 };
  const { readFile } = await import("node:fs/promises");
  const bytes = await readFile(join(layout, "blobs", "sha256", digest.slice("sha256:".length)));
  await images.name("v1", { ...root, size: bytes.length });
  await server.addLayout({ folder: layout, repository: "app" });
  server.addManifest({ repository: "app", tag: "v1", bytes, mediaType: root.mediaType });
  return { reference: `${server.host}/app:v1`, layout, digest };
}
