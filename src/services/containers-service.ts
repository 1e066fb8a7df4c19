import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError, type ConnectRouter, type HandlerContext } from "@connectrpc/connect";
import {
  ContainerCreateSchema,
  ContainerDeleteSchema,
  ContainerUpdateSchema,
} from "../../gen/containerd/events/container_pb.js";
import {
  type Container,
  type ContainerSchema,
  Containers,
} from "../../gen/containerd/services/containers/v1/containers_pb.js";
import { type EventExchange, packedEvent } from "../events/index.js";
import type { ContainerRow, ContainerTable } from "../metadata/index.js";
import { requestContext } from "./request-context.js";
import { answer, rpcError } from "./rpc-error.js";
import { timestampOf } from "./snapshot-messages.js";
import {
  anyField,
  anyValueOf,
  extensionMessages,
  extensionValues,
  runtimeMessage,
  runtimeOf,
} from "./workload-messages.js";

export interface ContainersServiceOptions {
  readonly containers: ContainerTable;
  readonly events: EventExchange;
}

/** `containerd.services.containers.v1`. */
export function containersService(options: ContainersServiceOptions): (router: ConnectRouter) => void {
  const { containers, events } = options;
  const of = ({ requestHeader }: HandlerContext): string => requestContext(requestHeader).namespace;
  return (router) => {
    router.service(Containers, {
      get: ({ id }, context) =>
        answer(async () => ({ container: containerMessage(containers.get({ namespace: of(context), id })) })),
      list: ({ filters }, context) =>
        answer(async () => ({
          containers: containers.list({ namespace: of(context), filters }).map(containerMessage),
        })),
      listStream: async function* ({ filters }, context) {
        try {
          for (const row of containers.list({ namespace: of(context), filters })) {
            context.signal.throwIfAborted();
            yield { container: containerMessage(row) };
          }
        } catch (thrown) {
          throw rpcError(thrown);
        }
      },
      create: ({ container }, context) =>
        answer(async () => {
          const namespace = of(context);
          const row = await containers.create(requestOf(namespace, container));
          const event = packedEvent(ContainerCreateSchema, {
            id: row.id,
            image: row.image,
            runtime: runtimeMessage(row.runtime),
          });
          events.publish({ namespace, topic: "/containers/create", event });
          return { container: containerMessage(row) };
        }),
      update: ({ container, updateMask }, context) =>
        answer(async () => {
          // containerd sends this one without the ending that its other errors have.
          if (container === undefined || container.id === "") {
            throw new ConnectError("Container.ID required", Code.InvalidArgument);
          }
          const namespace = of(context);
          const fieldPaths = updateMask?.paths ?? [];
          const row = await containers.update({ ...requestOf(namespace, container), fieldPaths });
          const event = packedEvent(ContainerUpdateSchema, {
            id: row.id,
            image: row.image,
            labels: { ...row.labels },
            snapshotKey: row.snapshotKey,
          });
          events.publish({ namespace, topic: "/containers/update", event });
          return { container: containerMessage(row) };
        }),
      delete: ({ id }, context) =>
        answer(async () => {
          const namespace = of(context);
          await containers.delete({ namespace, id });
          const event = packedEvent(ContainerDeleteSchema, { id });
          events.publish({ namespace, topic: "/containers/delete", event });
          return {};
        }),
    });
  };
}

/** What the client sent; the table checks it. */
function requestOf(namespace: string, container: Container | undefined) {
  return {
    namespace,
    id: container?.id ?? "",
    labels: container?.labels ?? {},
    image: container?.image ?? "",
    runtime: runtimeOf(container?.runtime),
    spec: anyValueOf(container?.spec),
    snapshotter: container?.snapshotter ?? "",
    snapshotKey: container?.snapshotKey ?? "",
    extensions: extensionValues(container?.extensions ?? {}),
    sandboxId: container?.sandbox ?? "",
  };
}

function containerMessage(row: ContainerRow): MessageInitShape<typeof ContainerSchema> {
  return {
    id: row.id,
    labels: { ...row.labels },
    image: row.image,
    runtime: runtimeMessage(row.runtime),
    ...anyField("spec", row.spec),
    snapshotter: row.snapshotter,
    snapshotKey: row.snapshotKey,
    createdAt: timestampOf(row.createdAt),
    updatedAt: timestampOf(row.updatedAt),
    extensions: extensionMessages(row.extensions),
    sandbox: row.sandboxId,
  };
}
