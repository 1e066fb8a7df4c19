import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect";
import {
  NamespaceCreateSchema,
  NamespaceDeleteSchema,
  NamespaceUpdateSchema,
} from "../../gen/containerd/events/namespace_pb.js";
import { Namespaces } from "../../gen/containerd/services/namespaces/v1/namespace_pb.js";
import { type EventExchange, packedEvent } from "../events/index.js";
import type { NamespaceTable } from "../metadata/index.js";
import { answer } from "./rpc-error.js";

export interface NamespacesServiceOptions {
  readonly namespaces: NamespaceTable;
  readonly events: EventExchange;
}

const LABEL_PREFIX = "labels.";

/** `containerd.services.namespaces.v1`. It works on names of namespaces, so the header is not looked at. */
export function namespacesService(options: NamespacesServiceOptions): (router: ConnectRouter) => void {
  const { namespaces, events } = options;
  return (router) => {
    router.service(Namespaces, {
      get: ({ name }) =>
        answer(async () => ({
          namespace: { name, labels: { ...namespaces.get({ namespace: name }).labels } },
        })),
      list: () =>
        answer(async () => ({
          namespaces: namespaces.list().map(({ name, labels }) => ({ name, labels: { ...labels } })),
        })),
      create: ({ namespace }) =>
        answer(async () => {
          const { name, labels } = namespace ?? { name: "", labels: {} };
          await namespaces.create({ namespace: name, labels });
          const event = packedEvent(NamespaceCreateSchema, { name, labels });
          events.publish({ namespace: name, topic: "/namespaces/create", event });
          return { namespace: { name, labels } };
        }),
      update: ({ namespace, updateMask }) =>
        answer(async () => {
          const { name, labels } = namespace ?? { name: "", labels: {} };
          const fieldPaths = updateMask?.paths ?? [];
          const other = fieldPaths.find((path) => !path.startsWith(LABEL_PREFIX));
          // containerd sends this one without the ending that its other errors have.
          if (other !== undefined) {
            throw new ConnectError(`cannot update ${JSON.stringify(other)} field`, Code.InvalidArgument);
          }
          await namespaces.update({ namespace: name, labels, fieldPaths });
          const event = packedEvent(NamespaceUpdateSchema, { name, labels });
          events.publish({ namespace: name, topic: "/namespaces/update", event });
          return {};
        }),
      delete: ({ name }) =>
        answer(async () => {
          await namespaces.delete({ namespace: name });
          const event = packedEvent(NamespaceDeleteSchema, { name });
          events.publish({ namespace: name, topic: "/namespaces/delete", event });
          return {};
        }),
    });
  };
}
