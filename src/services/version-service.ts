import type { ConnectRouter } from "@connectrpc/connect";
import { Version } from "../../gen/containerd/services/version/v1/version_pb.js";

/** `containerd.services.version.v1`: lazuli's own version, which clients read as a semantic version. */
export function versionService(facts: {
  readonly version: string;
  readonly revision: string;
}): (router: ConnectRouter) => void {
  return (router) => {
    router.service(Version, { version: () => ({ ...facts }) });
  };
}
