import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ConnectRouter, HandlerContext } from "@connectrpc/connect";
import {
  type InfoSchema,
  type ListSnapshotsRequest,
  type ListSnapshotsResponseSchema,
  Snapshots,
} from "../../gen/containerd/services/snapshots/v1/snapshots_pb.js";
import { invalidArgument } from "../errors/index.js";
import type { Snapshotter } from "../snapshotters/index.js";
import { answer, rpcError } from "./rpc-error.js";
import { infoMessage, mountMessages } from "./snapshot-messages.js";

/** Snapshots in one message of a List, as containerd has it. */
const BATCH_SIZE = 100;

/** Which snapshotter a call means: by the name in the request, and the namespace and lease in the headers. */
export type SnapshotterOf = (name: string, headers: Headers) => Snapshotter;

/**
 * `containerd.services.snapshots.v1` over one snapshotter. The request's `snapshotter` is the name that containerd knows
 * us by, and is not looked at: a proxy's socket serves one snapshotter.
 */
export function snapshotsService(snapshotter: Snapshotter): (router: ConnectRouter) => void {
  return snapshotsServiceOf(() => snapshotter);
}

/** `containerd.services.snapshots.v1` over the snapshotters of a daemon. */
export function snapshotsServiceOf(find: SnapshotterOf): (router: ConnectRouter) => void {
  const of = ({ snapshotter }: { snapshotter: string }, { requestHeader }: HandlerContext): Snapshotter =>
    find(snapshotter, requestHeader);
  return (router) => {
    router.service(Snapshots, {
      prepare: (request, context) =>
        answer(async () => ({
          mounts: mountMessages(await of(request, context).prepare(created(request, context))),
        })),
      view: (request, context) =>
        answer(async () => ({
          mounts: mountMessages(await of(request, context).view(created(request, context))),
        })),
      mounts: (request, context) =>
        answer(async () => {
          const { signal } = context;
          return { mounts: mountMessages(await of(request, context).mounts(request.key, { signal })) };
        }),
      commit: (request, context) =>
        answer(async () => {
          const { name, key, labels, parent } = request;
          await of(request, context).commit({ name, key, labels, parent, signal: context.signal });
          return {};
        }),
      remove: (request, context) =>
        answer(async () => {
          await of(request, context).remove(request.key);
          return {};
        }),
      stat: (request, context) =>
        answer(async () => ({ info: infoMessage(await of(request, context).stat(request.key)) })),
      update: (request, context) =>
        answer(async () => {
          if (request.info === undefined) {
            throw invalidArgument("Cannot update a snapshot: want its info, got none", {
              reason: "info-missing",
            });
          }
          const { name, labels } = request.info;
          const fieldPaths = request.updateMask?.paths ?? [];
          return { info: infoMessage(await of(request, context).update({ name, labels, fieldPaths })) };
        }),
      list: (request, context) => list(() => of(request, context), request, context),
      usage: (request, context) =>
        answer(async () => {
          const { signal } = context;
          const { size, inodes } = await of(request, context).usage(request.key, { signal });
          return { size: BigInt(size), inodes: BigInt(inodes) };
        }),
      cleanup: (request, context) =>
        answer(async () => {
          await of(request, context).cleanup();
          return {};
        }),
    });
  };
}

function created(
  { key, parent, labels }: { key: string; parent: string; labels: Record<string, string> },
  { signal }: HandlerContext,
) {
  return { key, parent, labels, signal };
}

async function* list(
  find: () => Snapshotter,
  request: ListSnapshotsRequest,
  context: HandlerContext,
): AsyncIterable<MessageInitShape<typeof ListSnapshotsResponseSchema>> {
  let batch: MessageInitShape<typeof InfoSchema>[] = [];
  try {
    for await (const info of find().walk(request.filters)) {
      context.signal.throwIfAborted();
      batch.push(infoMessage(info));
      if (batch.length < BATCH_SIZE) continue;
      yield { info: batch };
      batch = [];
    }
  } catch (thrown) {
    throw rpcError(thrown);
  }
  if (batch.length > 0) yield { info: batch };
}
