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

/**
 * `containerd.services.snapshots.v1` over a snapshotter. The request's `snapshotter` is the name that containerd knows
 * us by, and is not looked at: a socket serves one snapshotter.
 */
export function snapshotsService(snapshotter: Snapshotter): (router: ConnectRouter) => void {
  return (router) => {
    router.service(Snapshots, {
      prepare: ({ key, parent, labels }, { signal }) =>
        answer(async () => ({
          mounts: mountMessages(await snapshotter.prepare({ key, parent, labels, signal })),
        })),
      view: ({ key, parent, labels }, { signal }) =>
        answer(async () => ({
          mounts: mountMessages(await snapshotter.view({ key, parent, labels, signal })),
        })),
      mounts: ({ key }, { signal }) =>
        answer(async () => ({ mounts: mountMessages(await snapshotter.mounts(key, { signal })) })),
      commit: ({ name, key, labels, parent }, { signal }) =>
        answer(async () => {
          await snapshotter.commit({ name, key, labels, parent, signal });
          return {};
        }),
      remove: ({ key }) =>
        answer(async () => {
          await snapshotter.remove(key);
          return {};
        }),
      stat: ({ key }) => answer(async () => ({ info: infoMessage(await snapshotter.stat(key)) })),
      update: ({ info, updateMask }) =>
        answer(async () => {
          if (info === undefined) {
            throw invalidArgument("Cannot update a snapshot: want its info, got none", {
              reason: "info-missing",
            });
          }
          const { name, labels } = info;
          const fieldPaths = updateMask?.paths ?? [];
          return { info: infoMessage(await snapshotter.update({ name, labels, fieldPaths })) };
        }),
      list: (request, context) => list(snapshotter, request, context),
      usage: ({ key }, { signal }) =>
        answer(async () => {
          const { size, inodes } = await snapshotter.usage(key, { signal });
          return { size: BigInt(size), inodes: BigInt(inodes) };
        }),
      cleanup: () =>
        answer(async () => {
          await snapshotter.cleanup();
          return {};
        }),
    });
  };
}

async function* list(
  snapshotter: Snapshotter,
  request: ListSnapshotsRequest,
  context: HandlerContext,
): AsyncIterable<MessageInitShape<typeof ListSnapshotsResponseSchema>> {
  let batch: MessageInitShape<typeof InfoSchema>[] = [];
  try {
    for await (const info of snapshotter.walk(request.filters)) {
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
