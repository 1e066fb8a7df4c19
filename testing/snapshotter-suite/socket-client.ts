import { connect } from "node:net";
import { create } from "@bufbuild/protobuf";
import {
  type CallOptions,
  type Client,
  Code,
  ConnectError,
  createClient,
  type Transport,
} from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { type Info, InfoSchema, Snapshots } from "../../gen/containerd/services/snapshots/v1/snapshots_pb.js";
import { type ErrorCode, errorCodes, LazuliError } from "../../src/errors/index.js";
import { nanosecondsOf } from "../../src/services/index.js";
import {
  type Mount,
  type SnapshotInfo,
  type SnapshotKind,
  type Snapshotter,
  snapshotKinds,
} from "../../src/snapshotters/index.js";

/** A gRPC transport to a Unix socket. */
export function socketTransport(socketPath: string): Transport {
  return createGrpcTransport({
    baseUrl: "http://localhost",
    nodeOptions: { createConnection: () => connect(socketPath) },
  });
}

export interface SocketClientOptions {
  /** The name in every request. Default: one that a proxy's socket does not look at. */
  readonly snapshotter?: string;
  /** For a daemon, which keeps the snapshots of namespaces apart. */
  readonly namespace?: string;
}

/** A snapshotter on the other side of a socket, as containerd's proxy plugin is its client. */
export function socketSnapshotter(socketPath: string, client: SocketClientOptions = {}): Snapshotter {
  const snapshots: Client<typeof Snapshots> = createClient(Snapshots, socketTransport(socketPath));
  const { snapshotter = "lazuli", namespace } = client;
  const headers = namespace === undefined ? {} : { "containerd-namespace": namespace };
  const options = (signal?: AbortSignal): CallOptions => ({
    headers,
    ...(signal === undefined ? {} : { signal }),
  });
  return {
    stat: (key) => call(async () => infoOf((await snapshots.stat({ snapshotter, key }, options())).info)),
    update: ({ name, labels, fieldPaths }) =>
      call(async () => {
        const info = create(InfoSchema, { name, labels: { ...labels } });
        const mask = fieldPaths.length === 0 ? {} : { updateMask: { paths: [...fieldPaths] } };
        return infoOf((await snapshots.update({ snapshotter, info, ...mask }, options())).info);
      }),
    usage: (key) =>
      call(async () => {
        const { size, inodes } = await snapshots.usage({ snapshotter, key }, options());
        return { size: Number(size), inodes: Number(inodes) };
      }),
    mounts: (key) =>
      call(async () => mountsOf((await snapshots.mounts({ snapshotter, key }, options())).mounts)),
    prepare: ({ key, parent, labels, signal }) =>
      call(async () => {
        const request = { snapshotter, key, parent, labels: { ...labels } };
        return mountsOf((await snapshots.prepare(request, options(signal))).mounts);
      }),
    view: ({ key, parent, labels, signal }) =>
      call(async () => {
        const request = { snapshotter, key, parent, labels: { ...labels } };
        return mountsOf((await snapshots.view(request, options(signal))).mounts);
      }),
    commit: ({ name, key, parent, labels, signal }) =>
      call(async () => {
        const request = { snapshotter, name, key, parent, labels: { ...labels } };
        await snapshots.commit(request, options(signal));
      }),
    remove: (key) =>
      call(async () => {
        await snapshots.remove({ snapshotter, key }, options());
      }),
    walk: async function* (filters) {
      try {
        for await (const batch of snapshots.list({ snapshotter, filters: [...filters] }, options()))
          yield* batch.info.map(infoOf);
      } catch (thrown) {
        throw errorOf(thrown);
      }
    },
    cleanup: () =>
      call(async () => {
        await snapshots.cleanup({ snapshotter }, options());
      }),
    close: async () => undefined,
  };
}

/** Without what the messages have beside the fields. */
function mountsOf(mounts: readonly Mount[]): Mount[] {
  return mounts.map(({ type, source, target, options }) => ({ type, source, target, options }));
}

async function call<Result>(work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (thrown) {
    throw errorOf(thrown);
  }
}

function errorOf(thrown: unknown): LazuliError {
  const { code, rawMessage } = ConnectError.from(thrown, Code.Unknown);
  const named = Object.entries(errorCodes).find(([, facts]) => facts.grpc === code);
  return new LazuliError((named?.[0] ?? "UNKNOWN") as ErrorCode, rawMessage, { cause: thrown });
}

function infoOf(info: Info | undefined): SnapshotInfo {
  if (info === undefined) throw new LazuliError("INTERNAL", "Cannot read an answer: want an info, got none");
  const kind = Object.entries(snapshotKinds).find(([, number]) => number === Number(info.kind))?.[0];
  return {
    name: info.name,
    parent: info.parent,
    kind: kind as SnapshotKind,
    createdAt: nanosecondsOf(info.createdAt),
    updatedAt: nanosecondsOf(info.updatedAt),
    labels: info.labels,
  };
}
