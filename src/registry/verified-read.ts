import { createHash } from "node:crypto";
import { type Digest, digestAlgorithm } from "../bytes/index.js";
import { dataLoss } from "../errors/index.js";
import type { Client } from "./client.js";
import type { Clock } from "./clock.js";
import { type Capability, type Endpoint, endpointUrl } from "./endpoint.js";
import type { RequestKind } from "./events.js";
import { statusFailure } from "./failures.js";
import type { HostStates } from "./host-states.js";
import { refuseEncoding } from "./range-response.js";
import { noHost } from "./registry-blob.js";
import { RetryPlan, type RetryPolicy } from "./retry-plan.js";
import { readWhole } from "./whole-body.js";

export interface VerifiedReadOptions {
  readonly client: Client;
  readonly clock: Clock;
  readonly hosts: HostStates;
  readonly policy: RetryPolicy;
  readonly endpoints: readonly Endpoint[];
  readonly capability: Capability;
  readonly kind: RequestKind;
  readonly description: string;
  readonly repository: string;
  /** Behind the repository, e.g. `manifests/latest`. */
  readonly suffix: string;
  readonly accept: string;
  /** What the bytes must hash to; undefined for a tag: then only what the registry itself says is checked. */
  readonly digest: Digest | undefined;
  readonly bytesMax: number;
  readonly signal: AbortSignal | undefined;
}

export interface VerifiedBytes {
  readonly bytes: Buffer;
  readonly digest: Digest;
  /** The content type without its parameters; "" for none. */
  readonly contentType: string;
}

/** Reads something short as a whole and checks its digest, from the first host that has it right. */
export async function readVerified(options: VerifiedReadOptions): Promise<VerifiedBytes> {
  const { endpoints, capability, policy, clock, hosts, signal } = options;
  const all = endpoints.filter((endpoint) => endpoint.capabilities.includes(capability));
  if (all.length === 0) throw noHost(options.description, capability);
  const isDown = (endpoint: Endpoint): number => (hosts.isAvoided(endpoint.origin) ? 1 : 0);
  const ranked = [...all].sort((left, right) => isDown(left) - isDown(right));
  const plan = new RetryPlan({ ranked, all, policy, clock, hosts });
  for (;;) {
    const endpoint = await plan.next(signal);
    try {
      return await readFrom(endpoint, { ...options, attempt: plan.attempt });
    } catch (error) {
      signal?.throwIfAborted();
      plan.failed(endpoint, error, { progressed: false });
    }
  }
}

async function readFrom(
  endpoint: Endpoint,
  options: VerifiedReadOptions & { readonly attempt: number },
): Promise<VerifiedBytes> {
  const { client, kind, repository, suffix, accept, attempt, signal, bytesMax } = options;
  const subject = `${options.description} ${suffix}`;
  const url = endpointUrl({ endpoint, repository, suffix });
  const request = {
    kind,
    method: "GET",
    endpoint,
    repository,
    url,
    headers: { accept },
    attempt,
    signal,
  } as const;
  const exchange = await client.send(request);
  try {
    const { status, host } = exchange;
    if (status !== 200) throw statusFailure({ status, host, subject });
    refuseEncoding(exchange, subject);
    const bytes = await readWhole(exchange, { bytesMax, subject });
    const told = options.digest ?? digestHeader(exchange.header("docker-content-digest"));
    const digest = digestOf(bytes, told === undefined ? "sha256" : digestAlgorithm(told));
    if (told !== undefined && told !== digest) {
      throw dataLoss(`Cannot use "${subject}" from ${host}: want digest ${told}, got ${digest}`, {
        subject,
        reason: "digest-mismatch",
      });
    }
    const contentType = (exchange.header("content-type") ?? "").split(";")[0]!.trim().toLowerCase();
    return { bytes, digest, contentType };
  } finally {
    await exchange.finish();
  }
}

/** What the registry says that a tag stands for; a form that is no digest counts as not said. */
function digestHeader(text: string | undefined): Digest | undefined {
  return text !== undefined && /^sha(256:[0-9a-f]{64}|512:[0-9a-f]{128})$/.test(text)
    ? (text as Digest)
    : undefined;
}

function digestOf(bytes: Buffer, algorithm: string): Digest {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}` as Digest;
}
