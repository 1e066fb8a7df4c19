import { toBinary } from "@bufbuild/protobuf";
import { AnySchema } from "@bufbuild/protobuf/wkt";
import type { ConnectRouter, HandlerContext } from "@connectrpc/connect";
import { type ApplyRequest, Diff, type DiffRequest } from "../../gen/containerd/services/diff/v1/diff_pb.js";
import { parseDigest } from "../bytes/index.js";
import type { ContentStore } from "../content/index.js";
import type { LayerDescriptor, LayerDiffer } from "../diff/index.js";
import { invalidArgument } from "../errors/index.js";
import { type RequestContext, requestContext } from "./request-context.js";
import { answer } from "./rpc-error.js";
import { nanosecondsOf } from "./snapshot-messages.js";

export interface DiffServiceOptions {
  /** Looked at for each call. */
  readonly differ: (context: RequestContext) => LayerDiffer;
  readonly content: (context: RequestContext) => ContentStore;
}

/** `containerd.services.diff.v1` over the content that a call's namespace and lease see. */
export function diffService(options: DiffServiceOptions): (router: ConnectRouter) => void {
  return (router) => {
    router.service(Diff, {
      apply: (request, context) =>
        answer(async () => ({ applied: message(await applied(options, request, context)) })),
      diff: (request, context) =>
        answer(async () => ({ diff: message(await compared(options, request, context)) })),
    });
  };
}

async function applied(
  { differ, content }: DiffServiceOptions,
  request: ApplyRequest,
  { requestHeader, signal }: HandlerContext,
): Promise<LayerDescriptor> {
  const caller = requestContext(requestHeader);
  const store = content(caller);
  const { diff, mounts, syncFs } = request;
  if (diff === undefined) {
    throw invalidArgument("Cannot unpack a layer: want its descriptor, got none", {
      reason: "descriptor-missing",
    });
  }
  const digest = parseDigest(diff.digest);
  const { mediaType, annotations } = diff;
  await using blob = await store.open(digest, { signal });
  const payloads = Object.fromEntries(
    Object.entries(request.payloads).map(([name, payload]) => [name, toBinary(AnySchema, payload)]),
  );
  const layer = { mediaType, digest, size: Number(diff.size), annotations };
  return await differ(caller).apply({ layer, blob, mounts, payloads, syncFs, signal });
}

async function compared(
  { differ, content }: DiffServiceOptions,
  request: DiffRequest,
  { requestHeader, signal }: HandlerContext,
): Promise<LayerDescriptor> {
  const caller = requestContext(requestHeader);
  const store = content(caller);
  const { left, right, mediaType, ref, labels, sourceDateEpoch } = request;
  return await differ(caller).compare({
    lower: left,
    upper: right,
    mediaType,
    ref,
    labels,
    sourceDateEpoch: sourceDateEpoch === undefined ? undefined : nanosecondsOf(sourceDateEpoch),
    content: store,
    signal,
  });
}

function message({ mediaType, digest, size, annotations }: LayerDescriptor) {
  return { mediaType, digest, size: BigInt(size), annotations: { ...annotations } };
}
