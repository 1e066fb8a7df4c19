import { once } from "node:events";
import type { ConnectRouter } from "@connectrpc/connect";
import { Health, HealthCheckResponse_ServingStatus as Status } from "../../gen/grpc/health/v1/health_pb.js";

/** `grpc.health.v1` of a server that serves from its first call on. */
export function healthService(): (router: ConnectRouter) => void {
  return (router) => {
    router.service(Health, {
      check: () => ({ status: Status.SERVING }),
      watch: async function* (_request, { signal }) {
        yield { status: Status.SERVING };
        if (!signal.aborted) await once(signal, "abort");
      },
    });
  };
}
