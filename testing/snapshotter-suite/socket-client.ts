import { connect } from "node:net";
import { create } from "@bufbuild/protobuf";
import { type Client, Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { type Info, InfoSchema, Snapshots } from "../../gen/containerd/services/snapshots/v1/snapshots_pb.js";
import { type ErrorCode, errorCodes, LazuliError } from "../../src/errors/index.js";
import { nanosecondsOf } from "../../src/services/index.js";
import {
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

/** A snapshotter on the other side of a socket, as containerd's proxy plugin is its client. */
export function socketSnapshotter(socketPath: string): Snapshotter {
  const client: Client<typeof Snapshots> = createClient(Snapshots, socketTransport(socketPath));
  const snapshotter = "lazuli";
  return {
    stat: (key) => call(async () => infoOf((await client.stat({ snapshotter, key })).info)),
    update: ({ name, labels, fieldPaths }) =>
      call(async () => {
        const info = create(InfoSchema, { name, labels: { ...labels } });
        const mask = fieldPaths.length === 0 ? {} : { updateMask: { paths: [...fieldPaths] } };
        return infoOf((await client.update({ snapshotter, info, ...mask })).info);
      }),
    usage: (key) =>
      call(async () => {
        const { size, inodes } = await client.usage({ snapshotter, key });
        return { size: Number(size), inodes: Number(inodes) };
      }),
    mounts: (key) => call(async () => (await client.mounts({ snapshotter, key })).mounts),
    prepare: ({ key, parent, labels }) =>
      call(async () => (await client.prepare({ snapshotter, key, parent, labels: { ...labels } })).mounts),
    view: ({ key, parent, labels }) =>
      call(async () => (await client.view({ snapshotter, key, parent, labels: { ...labels } })).mounts),
    commit: ({ name, key, parent, labels }) =>
      call(async () => {
        await client.commit({ snapshotter, name, key, parent, labels: { ...labels } });
      }),
    remove: (key) =>
      call(async () => {
        await client.remove({ snapshotter, key });
      }),
    walk: async function* (filters) {
      try {
        for await (const batch of client.list({ snapshotter, filters: [...filters] }))
          yield* batch.info.map(infoOf);
      } catch (thrown) {
        throw errorOf(thrown);
      }
    },
    cleanup: () =>
      call(async () => {
        await client.cleanup({ snapshotter });
      }),
    close: async () => undefined,
  };
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
