import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ConnectRouter, HandlerContext } from "@connectrpc/connect";
import {
  Content,
  type InfoSchema,
  type ListContentRequest,
  type ListContentResponseSchema,
} from "../../gen/containerd/services/content/v1/content_pb.js";
import { type Digest, parseDigest } from "../bytes/index.js";
import type { ContentStore } from "../content/index.js";
import { invalidArgument, LazuliError } from "../errors/index.js";
import { contentInfoMessage, ingestStatusMessage } from "./content-messages.js";
import { readContent } from "./content-read.js";
import { writeContent } from "./content-write.js";
import { type RequestContext, requestContext } from "./request-context.js";
import { answer, rpcError } from "./rpc-error.js";

/** Blobs in one message of a List, as containerd has it. */
const BATCH_SIZE = 100;

/** `containerd.services.content.v1` over the store that a call's namespace and lease see. */
export function contentService(
  forContext: (context: RequestContext) => ContentStore,
): (router: ConnectRouter) => void {
  const of = ({ requestHeader }: HandlerContext) => forContext(requestContext(requestHeader));
  return (router) => {
    router.service(Content, {
      info: ({ digest }, context) =>
        answer(async () => ({ info: contentInfoMessage(await of(context).info(digestOf(digest))) })),
      update: ({ info, updateMask }, context) =>
        answer(async () => {
          if (info === undefined) {
            throw invalidArgument("Cannot update a blob: want its info, got none", {
              reason: "info-missing",
            });
          }
          const request = { digest: digestOf(info.digest), labels: info.labels };
          const updated = await of(context).update({ ...request, fieldPaths: updateMask?.paths ?? [] });
          return { info: contentInfoMessage(updated) };
        }),
      list: (request, context) => list(() => of(context), request, context),
      delete: ({ digest }, context) =>
        answer(async () => {
          await of(context).delete(digestOf(digest));
          return {};
        }),
      read: (request, context) => readContent(() => of(context), request, context),
      status: ({ ref }, context) =>
        answer(async () => ({ status: ingestStatusMessage(await statusOf(of(context), ref)) })),
      listStatuses: ({ filters }, context) =>
        answer(async () => ({ statuses: (await of(context).statuses(filters)).map(ingestStatusMessage) })),
      write: (requests, context) => writeContent(() => of(context), requests, context),
      abort: ({ ref }, context) =>
        answer(async () => {
          await of(context).abort(ref);
          return {};
        }),
    });
  };
}

/** @throws INVALID_ARGUMENT, as containerd says it */
function digestOf(text: string): Digest {
  try {
    return parseDigest(text);
  } catch (thrown) {
    throw invalidArgument(`${JSON.stringify(text.slice(0, 200))} failed validation`, {
      reason: "digest-invalid",
      cause: thrown,
    });
  }
}

async function statusOf(store: ContentStore, ref: string): ReturnType<ContentStore["status"]> {
  try {
    return await store.status(ref);
  } catch (thrown) {
    const { code, message, reason = "status-failed" } = LazuliError.from(thrown);
    const told = `could not get status for ref ${JSON.stringify(ref)}: ${message}`;
    throw new LazuliError(code, told, { subject: ref, reason, cause: thrown });
  }
}

async function* list(
  store: () => ContentStore,
  request: ListContentRequest,
  context: HandlerContext,
): AsyncIterable<MessageInitShape<typeof ListContentResponseSchema>> {
  let batch: MessageInitShape<typeof InfoSchema>[] = [];
  try {
    for await (const info of store().walk(request.filters)) {
      context.signal.throwIfAborted();
      batch.push(contentInfoMessage(info));
      if (batch.length < BATCH_SIZE) continue;
      yield { info: batch };
      batch = [];
    }
  } catch (thrown) {
    throw rpcError(thrown);
  }
  if (batch.length > 0) yield { info: batch };
}
