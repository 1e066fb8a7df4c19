import type { ConnectRouter, HandlerContext } from "@connectrpc/connect";
import { Store } from "../../gen/containerd/services/sandbox/v1/sandbox_pb.js";
import type { SandboxTable } from "../metadata/index.js";
import { requestContext } from "./request-context.js";
import { answer } from "./rpc-error.js";
import { sandboxMessage, sandboxRequestOf } from "./sandbox-messages.js";

/** `containerd.services.sandbox.v1.Store`: the records; who runs a sandbox is asked through the controller. */
export function sandboxStoreService(sandboxes: SandboxTable): (router: ConnectRouter) => void {
  const of = ({ requestHeader }: HandlerContext): string => requestContext(requestHeader).namespace;
  return (router) => {
    router.service(Store, {
      get: ({ sandboxId }, context) =>
        answer(async () => ({
          sandbox: sandboxMessage(sandboxes.get({ namespace: of(context), id: sandboxId })),
        })),
      list: ({ filters }, context) =>
        answer(async () => ({
          list: sandboxes.list({ namespace: of(context), filters }).map(sandboxMessage),
        })),
      create: ({ sandbox }, context) =>
        answer(async () => ({
          sandbox: sandboxMessage(await sandboxes.create(sandboxRequestOf(of(context), sandbox))),
        })),
      update: ({ sandbox, fields }, context) =>
        answer(async () => {
          const request = { ...sandboxRequestOf(of(context), sandbox), fieldPaths: fields };
          return { sandbox: sandboxMessage(await sandboxes.update(request)) };
        }),
      delete: ({ sandboxId }, context) =>
        answer(async () => {
          await sandboxes.delete({ namespace: of(context), id: sandboxId });
          return {};
        }),
    });
  };
}
