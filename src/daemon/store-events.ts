import { ContentCreateSchema, ContentDeleteSchema } from "../../gen/containerd/events/content_pb.js";
import { ImageDeleteSchema } from "../../gen/containerd/events/image_pb.js";
import {
  SnapshotCommitSchema,
  SnapshotPrepareSchema,
  SnapshotRemoveSchema,
} from "../../gen/containerd/events/snapshot_pb.js";
import type { ContentStore, IngestWriter, NamespacedContent } from "../content/index.js";
import { type EventExchange, packedEvent } from "../events/index.js";
import type { GraphNode } from "../gc/index.js";
import type { NamespacedSnapshotter, Snapshotter } from "../snapshotters/index.js";

/** The same content; blobs that come and go are told as containerd tells them (core/metadata/content.go). */
export function withContentEvents(inner: NamespacedContent, events: EventExchange): NamespacedContent {
  return {
    for: (context) => toldContent(inner.for(context), { events, namespace: context.namespace }),
    sweep: (options) => inner.sweep(options),
  };
}

interface Telling {
  readonly events: EventExchange;
  readonly namespace: string;
}

function toldContent(store: ContentStore, { events, namespace }: Telling): ContentStore {
  return {
    info: (digest) => store.info(digest),
    update: (request) => store.update(request),
    walk: (filters) => store.walk(filters),
    open: (digest, options) => store.open(digest, options),
    status: (ref) => store.status(ref),
    statuses: (filters) => store.statuses(filters),
    abort: (ref) => store.abort(ref),
    delete: async (digest) => {
      await store.delete(digest);
      const event = packedEvent(ContentDeleteSchema, { digest });
      events.publish({ namespace, topic: "/content/delete", event });
    },
    writer: async (request) => toldWriter(await store.writer(request), { events, namespace }),
  };
}

function toldWriter(writer: IngestWriter, { events, namespace }: Telling): IngestWriter {
  return {
    ref: writer.ref,
    get offset() {
      return writer.offset;
    },
    write: (bytes) => writer.write(bytes),
    status: () => writer.status(),
    digest: () => writer.digest(),
    truncate: (size) => writer.truncate(size),
    close: () => writer.close(),
    commit: async (request) => {
      const size = BigInt(writer.offset);
      const digest = await writer.commit(request);
      const event = packedEvent(ContentCreateSchema, { digest, size });
      events.publish({ namespace, topic: "/content/create", event });
      return digest;
    },
  };
}

/** The same snapshotter; its snapshots are told as containerd tells them (core/metadata/snapshot.go): views are not. */
export function withSnapshotEvents(
  inner: NamespacedSnapshotter,
  { name, events }: { readonly name: string; readonly events: EventExchange },
): NamespacedSnapshotter {
  return {
    for: (context) => toldSnapshots(inner.for(context), { name, events, namespace: context.namespace }),
    sweep: (options) => inner.sweep(options),
  };
}

function toldSnapshots(
  inner: Snapshotter,
  { name: snapshotter, events, namespace }: Telling & { readonly name: string },
): Snapshotter {
  return {
    stat: (name) => inner.stat(name),
    update: (request) => inner.update(request),
    usage: (name, options) => inner.usage(name, options),
    mounts: (key, options) => inner.mounts(key, options),
    view: (request) => inner.view(request),
    walk: (filters) => inner.walk(filters),
    cleanup: () => inner.cleanup(),
    close: () => inner.close(),
    prepare: async (request) => {
      const mounts = await inner.prepare(request);
      const { key, parent } = request;
      const event = packedEvent(SnapshotPrepareSchema, { key, parent, snapshotter });
      events.publish({ namespace, topic: "/snapshot/prepare", event });
      return mounts;
    },
    commit: async (request) => {
      await inner.commit(request);
      const { key, name } = request;
      const event = packedEvent(SnapshotCommitSchema, { key, name, snapshotter });
      events.publish({ namespace, topic: "/snapshot/commit", event });
    },
    remove: async (key) => {
      await inner.remove(key);
      publishRemoved({ events, namespace }, { snapshotter, key });
    },
  };
}

/** What a collection takes is told as containerd tells it (core/metadata/db.go): snapshots and images only. */
export function publishCollected(events: EventExchange, { type, namespace, key }: GraphNode): void {
  if (type === "snapshot") {
    const slash = key.indexOf("/");
    publishRemoved({ events, namespace }, { snapshotter: key.slice(0, slash), key: key.slice(slash + 1) });
  } else if (type === "image") {
    const event = packedEvent(ImageDeleteSchema, { name: key });
    events.publish({ namespace, topic: "/images/delete", event });
  }
}

function publishRemoved(
  { events, namespace }: Telling,
  { snapshotter, key }: { readonly snapshotter: string; readonly key: string },
): void {
  const event = packedEvent(SnapshotRemoveSchema, { key, snapshotter });
  events.publish({ namespace, topic: "/snapshot/remove", event });
}
