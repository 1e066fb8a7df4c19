import type { Any } from "@bufbuild/protobuf/wkt";
import type { ConnectRouter } from "@connectrpc/connect";
import { Streaming } from "../../gen/containerd/services/streaming/v1/streaming_pb.js";
import { type StreamRegistry, serveStream } from "../streaming/index.js";
import { requestContext } from "./request-context.js";
import { rpcError } from "./rpc-error.js";

/** `containerd.services.streaming.v1`: streams that other calls name. */
export function streamingService(registry: StreamRegistry): (router: ConnectRouter) => void {
  return (router) => {
    router.service(Streaming, {
      stream: async function* (requests, context): AsyncGenerator<Any> {
        try {
          const { namespace, lease } = requestContext(context.requestHeader);
          yield* serveStream({ registry, requests, namespace, lease, signal: context.signal });
        } catch (thrown) {
          throw rpcError(thrown);
        }
      },
    });
  };
}
