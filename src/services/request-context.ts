import { failedPrecondition, invalidArgument } from "../errors/index.js";

/** What a client says beside the message: whose things it means, and which lease shall hold what it makes. */
export interface RequestContext {
  readonly namespace: string;
  readonly lease: string | undefined;
}

const NAMESPACE_HEADER = "containerd-namespace";
const LEASE_HEADER = "containerd-lease";
/** containerd's bound for identifiers, in bytes. */
const IDENTIFIER_BYTES_MAX = 76;
const IDENTIFIER_TEXT = "^[A-Za-z0-9]+(?:[._-](?:[A-Za-z0-9]+))*$";
const identifierPattern = new RegExp(IDENTIFIER_TEXT);

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

/** Checks a name by containerd's rules and with its words (pkg/identifiers). @throws INVALID_ARGUMENT */
export function requireIdentifier(text: string, prefix = ""): void {
  const bad = (what: string): Error => invalidArgument(`${prefix}${what}`, { reason: "identifier-invalid" });
  if (text === "") throw bad("identifier must not be empty");
  const shown = JSON.stringify(text);
  if (Buffer.byteLength(text) > IDENTIFIER_BYTES_MAX) {
    throw bad(`identifier ${shown} greater than maximum length (${IDENTIFIER_BYTES_MAX} characters)`);
  }
  if (!identifierPattern.test(text)) throw bad(`identifier ${shown} must match ${IDENTIFIER_TEXT}`);
}

/** A header that came more than once arrives joined by commas; the first value counts. */
function firstOf(headers: Headers, name: string): string | undefined {
  return headers.get(name)?.split(",", 1)[0]?.trim();
}
