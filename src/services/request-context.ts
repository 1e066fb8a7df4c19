import { failedPrecondition } from "../errors/index.js";
import { requireIdentifier } from "../metadata/index.js";

/** What a client says beside the message: whose things it means, and which lease shall hold what it makes. */
export interface RequestContext {
  readonly namespace: string;
  readonly lease: string | undefined;
}

const NAMESPACE_HEADER = "containerd-namespace";
const LEASE_HEADER = "containerd-lease";
/**
 * The namespace and the lease of a call.
 * @throws FAILED_PRECONDITION without a namespace; INVALID_ARGUMENT for a name that can't be one
 */
export function requestContext(headers: Headers): RequestContext {
  const namespace = firstOf(headers, NAMESPACE_HEADER) ?? "";
  if (namespace === "") throw failedPrecondition("namespace is required", { reason: "namespace-missing" });
  requireIdentifier(namespace, "namespace validation: ");
  return { namespace, lease: firstOf(headers, LEASE_HEADER) };
}

/** A header that came more than once arrives joined by commas; the first value counts. */
function firstOf(headers: Headers, name: string): string | undefined {
  return headers.get(name)?.split(",", 1)[0]?.trim();
}
