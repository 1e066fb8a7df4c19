import { randomBytes } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { createClient } from "@connectrpc/connect";
import type { Test } from "tap";
import { ImageService } from "../../gen/runtime/v1/api_pb.js";
import { type Digest, sha256 } from "../../src/bytes/index.js";
import { namespacedContent, openLocalStore } from "../../src/content/index.js";
import {
  CRI_NAMESPACE,
  type CriImagesOptions,
  criImages,
  imageService,
  SnapshotUsages,
} from "../../src/cri/index.js";
import { createEventExchange, type EventEnvelope } from "../../src/events/index.js";
import { loadBinding } from "../../src/fuse/index.js";
import { grpcOverSocket } from "../../src/grpc/index.js";
import { ImageTable, LeaseTable, openMetadata } from "../../src/metadata/index.js";
import { Registry } from "../../src/registry/index.js";
import { serveGrpc } from "../../src/services/index.js";
import { createTransferrer, openTransferRegistry, SharedCredentials } from "../../src/transfer/index.js";
import { type RegistryServerOptions, startRegistry } from "../../testing/registry/index.js";
import { SmallImages, tarOf } from "../../testing/transfer/small-image.js";
import { FakeSnapshotter, linux } from "../transfer/transfer-rig.js";

export interface ImageRigOptions {
  readonly registry?: RegistryServerOptions;
  readonly images?: Partial<CriImagesOptions>;
}

/** The images of CRI over real stores and a registry that misbehaves on script, served on a socket. */
export async function imageRig(t: Test, options: ImageRigOptions = {}) {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-cri-images-"));
  const binding = loadBinding();
  const now = (): bigint => binding.realtimeNanoseconds();
  const metadata = await openMetadata({ directory: join(folder, "metadata") });
  const store = await openLocalStore({ root: join(folder, "content"), now, fileSteps: binding.fileSteps });
  const server = await startRegistry(options.registry ?? {});
  const content = namespacedContent({ metadata, store, now });
  const snapshots = new FakeSnapshotter();
  const others = new FakeSnapshotter();
  const shared = new SharedCredentials();
  const exchange = createEventExchange({ now });
  const published: Omit<EventEnvelope, "timestamp">[] = [];
  const collections = { count: 0 };
  const transferrer = createTransferrer({
    content: (call) => content.for(call),
    wholeContent: (call) => content.for(call),
    images: new ImageTable({ metadata, now }),
    leases: new LeaseTable({ metadata, now }),
    events: exchange,
    targets: [
      { name: "lazy", isLazy: true, snapshotter: snapshots.namespaced },
      { name: "other", isLazy: false, snapshotter: others.namespaced },
    ],
    platform: linux,
    unpackPlatforms: [linux],
    lazy: "auto",
    mayBeLazy: ({ digest }) => snapshots.lazy.has(digest),
    applier: { apply: async ({ blob }) => ({ digest: sha256(gunzipSync(await blob.read(0, blob.size))) }) },
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
  });
  const images = criImages({
    metadata,
    content,
    transferrer,
    events: { publish: (event) => void published.push(event) },
    collection: {
      scheduleAndWait: async () => {
        collections.count += 1;
      },
    },
    platform: linux,
    snapshotter: "lazy",
    handlerSnapshotters: new Map([["kata", "other"]]),
    pinned: [],
    discardsUnpackedLayers: false,
    progressTimeoutMs: 60_000,
    now,
    ...options.images,
  });
  const usages = new SnapshotUsages({ snapshotters: [], now });
  const socketPath = join(folder, "cri.sock");
  const grpc = await serveGrpc({
    socketPath,
    mode: 0o600,
    routes: [imageService({ images, usages, defaultSnapshotter: "lazy" })],
  });
  const connection = grpcOverSocket(socketPath);
  t.teardown(async () => {
    connection[Symbol.dispose]();
    await grpc.close();
    images[Symbol.dispose]();
    await server.stop();
    await store.close();
    await metadata.close();
    await rm(folder, { recursive: true, force: true });
  });
  const table = new ImageTable({ metadata, now });
  return {
    folder,
    socketPath,
    server,
    images,
    snapshots,
    others,
    shared,
    published,
    collections,
    content: content.for({ namespace: CRI_NAMESPACE }),
    table,
    client: createClient(ImageService, connection.transport),
    names: () => table.list({ namespace: CRI_NAMESPACE, filters: [] }).map(({ name }) => name),
    publish: async (made: MadeOptions = {}) => await publish({ folder, server }, made),
  };
}

export type ImageRig = Awaited<ReturnType<typeof imageRig>>;

export interface MadeOptions {
  readonly repository?: string;
  readonly tags?: readonly string[];
  readonly user?: string;
  /** What makes images different. */
  readonly seed?: string;
}

export interface MadeImage {
  readonly reference: string;
  readonly id: Digest;
  readonly digest: Digest;
  /** Digest of its only layer. */
  readonly layer: Digest;
  /** Of documents, config and layer. */
  readonly sizeBytes: number;
}

/** Puts an image of one layer into the registry, under each of the tags. */
async function publish(
  { folder, server }: { readonly folder: string; readonly server: Awaited<ReturnType<typeof startRegistry>> },
  { repository = "app", tags = ["v1"], user = "1002:7", seed = randomBytes(8).toString("hex") }: MadeOptions,
): Promise<MadeImage> {
  const layout = join(folder, `layout-${sha256(Buffer.from(seed)).slice(7, 19)}`);
  const made = new SmallImages(layout);
  const tar = tarOf({ "a.bin": Buffer.from(seed.repeat(20_000)), "b.bin": randomBytes(300_000) });
  const blank = await made.image([{ tar }]);
  const blob = async (digest: Digest): Promise<Buffer> =>
    await readFile(join(layout, "blobs", "sha256", digest.slice("sha256:".length)));
  const manifest = JSON.parse((await blob(blank.digest)).toString());
  const config = JSON.parse((await blob(manifest.config.digest)).toString());
  config.config = { ...config.config, User: user, Env: ["A=1"], Labels: { seed } };
  const own = await made.json(manifest.config.mediaType, config);
  const root = await made.json(blank.mediaType, { ...manifest, config: own });
  await made.name("v1", root);
  await server.addLayout({ folder: layout, repository });
  const bytes = await blob(root.digest);
  for (const tag of tags) server.addManifest({ repository, tag, bytes, mediaType: root.mediaType });
  const layer = manifest.layers[0] as { digest: Digest; size: number };
  return {
    reference: `${server.host}/${repository}:${tags[0]}`,
    id: own.digest,
    digest: root.digest,
    layer: layer.digest,
    sizeBytes: root.size + own.size + layer.size,
  };
}
