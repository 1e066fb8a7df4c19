import type { Digest } from "../bytes/index.js";
import { dataLoss, invalidArgument, outOfRange, unavailable } from "../errors/index.js";
import type { BlobSource, RangeRequest } from "./blob-source.js";
import type { Client, ClientRequest } from "./client.js";
import type { Clock } from "./clock.js";
import { parseContentRange, type WantedRange } from "./content-range.js";
import { type Endpoint, endpointUrl } from "./endpoint.js";
import { distrustChannel } from "./events.js";
import type { Exchange } from "./exchange.js";
import { statusFailure, verdictOf } from "./failures.js";
import type { HostStates } from "./host-states.js";
import { AVOID_MS, DISCARD_BYTES_MAX, PROGRESS_BYTES_MIN } from "./limits.js";
import { rangeBytes, rangeHeader, rangesUnsupported, refuseEncoding } from "./range-response.js";
import { RetryPlan, type RetryPolicy } from "./retry-plan.js";
import { ServedRanges } from "./served-ranges.js";
import type { RequestPriority } from "./slots.js";

export interface RegistryBlobOptions {
  readonly client: Client;
  readonly clock: Clock;
  readonly hosts: HostStates;
  readonly policy: RetryPolicy;
  /** Looked up at each read, so that a changed hosts.toml counts at once. */
  readonly endpoints: () => Promise<readonly Endpoint[]>;
  /** `registry.example/library/python`. */
  readonly description: string;
  readonly repository: string;
  readonly digest: Digest;
  readonly size: number | undefined;
}

/** Statuses of a storage server that may mean: the signed URL has expired, ask the registry for another. */
const expiredStatuses = new Set([400, 401, 403, 404, 410]);

/** One blob at a registry and its mirrors. */
export class RegistryBlob implements BlobSource {
  readonly digest: Digest;
  readonly description: string;
  readonly #options: RegistryBlobOptions;
  /** Where the endpoint (by key) redirected to last. */
  readonly #targets = new Map<string, URL>();
  readonly #avoidUntilMs = new Map<string, number>();
  readonly #ranges = new ServedRanges();
  #size: number | undefined;

  constructor(options: RegistryBlobOptions) {
    this.#options = options;
    this.digest = options.digest;
    this.description = options.description;
    this.#size = options.size;
  }

  get size(): number {
    if (this.#size === undefined) throw new Error("Invariant broken: the blob was not measured");
    return this.#size;
  }

  /** Finds out the size where no descriptor told it. */
  async measure(signal: AbortSignal | undefined): Promise<void> {
    const plan = await this.#plan({ offset: 0, length: 0 });
    while (this.#size === undefined) {
      const endpoint = await plan.next(signal);
      try {
        this.#size = await this.#measureAt({ endpoint, signal, attempt: plan.attempt });
      } catch (error) {
        this.#noteFailure(endpoint, error);
        plan.failed(endpoint, error, { progressed: false });
      }
    }
  }

  async *readRange(request: RangeRequest): AsyncGenerator<Buffer, void, undefined> {
    const { offset, length, signal, priority } = request;
    checkRange(request, this.size);
    if (length === 0) return;
    let done = 0;
    const plan = await this.#plan({ offset, length });
    while (done < length) {
      const endpoint = await plan.next(signal);
      const before = done;
      const rest = { offset: offset + done, length: length - done };
      try {
        for await (const piece of this.#attempt({
          ...{ endpoint, ...rest, signal, priority },
          attempt: plan.attempt,
        })) {
          done += piece.length;
          yield piece;
        }
        if (done < length) throw this.#bodyShort(endpoint, done - before, rest.length);
      } catch (error) {
        signal?.throwIfAborted();
        this.#noteFailure(endpoint, error);
        plan.failed(endpoint, error, { progressed: done - before >= PROGRESS_BYTES_MIN });
      } finally {
        if (done > before) {
          this.#ranges.noteServed({ offset: rest.offset, length: done - before, by: keyOf(endpoint) });
        }
      }
    }
  }

  distrust(range: { readonly offset: number; readonly length: number }): void {
    for (const host of this.#ranges.distrust(range)) {
      // The storage behind the endpoint may be what is wrong: let the endpoint choose again.
      this.#targets.delete(host);
      distrustChannel.publish({ host, digest: this.digest, offset: range.offset, length: range.length });
    }
  }

  async *#attempt(read: ReadAttempt): AsyncGenerator<Buffer, void, undefined> {
    const { endpoint, offset, length } = read;
    const { hosts } = this.#options;
    const wanted: WantedRange = {
      offset,
      length,
      size: this.size,
      subject: this.digest,
      host: endpoint.host,
    };
    if (offset > DISCARD_BYTES_MAX && !hosts.supportsRanges(endpoint.origin)) throw rangesUnsupported(wanted);
    const exchange = await this.#open(read);
    let reason: string | undefined;
    try {
      if (exchange.status === 206) hosts.noteRanges(endpoint.origin, true);
      else if (exchange.status === 200 && length < this.size) hosts.noteRanges(endpoint.origin, false);
      yield* rangeBytes(exchange, wanted);
    } catch (error) {
      reason = (error as { reason?: string }).reason;
      throw error;
    } finally {
      await exchange.finish(reason);
    }
  }

  /** Asks where the endpoint redirected to last time, and the endpoint itself when that is gone. */
  async #open(read: ReadAttempt): Promise<Exchange> {
    const key = keyOf(read.endpoint);
    const request = this.#request(read);
    const known = this.#targets.get(key);
    if (known !== undefined) {
      const exchange = await this.#options.client.sendTo(known, request);
      if (!expiredStatuses.has(exchange.status)) return exchange;
      await exchange.finish("redirect-expired");
      this.#targets.delete(key);
    }
    const exchange = await this.#options.client.send(request);
    const isElsewhere = exchange.url.origin !== read.endpoint.origin;
    if (isElsewhere && (exchange.status === 206 || exchange.status === 200))
      this.#targets.set(key, exchange.url);
    return exchange;
  }

  #request(read: ReadAttempt): ClientRequest {
    const { endpoint, offset, length, signal, priority, attempt } = read;
    const isDistrusted = this.#ranges.distrustOf(keyOf(endpoint), read) > 0;
    return {
      kind: "blob",
      method: "GET",
      endpoint,
      repository: this.#options.repository,
      url: this.#url(endpoint),
      headers: {
        accept: "*/*",
        range: rangeHeader(offset, length),
        // A cache in between would give the same wrong bytes again.
        ...(isDistrusted ? { "cache-control": "no-cache" } : {}),
      },
      attempt,
      signal,
      priority,
    };
  }

  async #measureAt(read: Omit<ReadAttempt, "offset" | "length" | "priority">): Promise<number> {
    const { endpoint, signal, attempt } = read;
    const { client, repository } = this.#options;
    const base = { kind: "size", endpoint, repository, url: this.#url(endpoint), attempt, signal } as const;
    const head = await client.send({ ...base, method: "HEAD", headers: { accept: "*/*" } });
    await head.finish();
    if (head.status === 404 || head.status === 401) throw this.#statusFailure(endpoint, head.status);
    if (head.status === 200 && head.contentLength !== undefined) {
      refuseEncoding(head, this.digest);
      return head.contentLength;
    }
    const headers = { accept: "*/*", range: rangeHeader(0, 1) };
    const exchange = await client.send({ ...base, method: "GET", headers });
    await exchange.finish();
    const { status } = exchange;
    if (status === 416 && exchange.header("content-range") === "bytes */0") return 0;
    if (status !== 200 && status !== 206) throw this.#statusFailure(endpoint, status);
    refuseEncoding(exchange, this.digest);
    const range = parseContentRange(exchange.header("content-range"));
    const size = status === 200 ? exchange.contentLength : range?.total;
    if (size !== undefined) return size;
    throw dataLoss(
      `Cannot tell the size of "${this.digest}" at ${endpoint.host}: want it in a header, got none`,
      {
        subject: this.digest,
        reason: "blob-size-unknown",
      },
    );
  }

  async #plan(range: { readonly offset: number; readonly length: number }): Promise<RetryPlan> {
    const { endpoints, policy, clock, hosts } = this.#options;
    const all = (await endpoints()).filter((endpoint) => endpoint.capabilities.includes("pull"));
    if (all.length === 0) throw noHost(this.description, "pull");
    const rank = new Map(all.map((endpoint) => [endpoint, this.#rank(endpoint, range)]));
    // Sorting is stable: the order of the configuration decides among equals.
    const ranked = [...all].sort((left, right) => rank.get(left)! - rank.get(right)!);
    return new RetryPlan({ ranked, all, policy, clock, hosts });
  }

  /** Lower is asked first: wrong bytes weigh most, then refusals and outages, then the lack of ranges. */
  #rank(endpoint: Endpoint, range: { readonly offset: number; readonly length: number }): number {
    const { hosts, clock } = this.#options;
    const key = keyOf(endpoint);
    const isAvoided =
      hosts.isAvoided(endpoint.origin) || (this.#avoidUntilMs.get(key) ?? 0) > clock.monotonicMs();
    const lacksRanges = range.offset > 0 && !hosts.supportsRanges(endpoint.origin);
    return 4 * this.#ranges.distrustOf(key, range) + (isAvoided ? 2 : 0) + (lacksRanges ? 1 : 0);
  }

  #noteFailure(endpoint: Endpoint, error: unknown): void {
    const key = keyOf(endpoint);
    this.#targets.delete(key);
    if (verdictOf(error) === "elsewhere") {
      this.#avoidUntilMs.set(key, this.#options.clock.monotonicMs() + AVOID_MS);
    }
  }

  #url(endpoint: Endpoint): URL {
    return endpointUrl({ endpoint, repository: this.#options.repository, suffix: `blobs/${this.digest}` });
  }

  #statusFailure(endpoint: Endpoint, status: number) {
    return statusFailure({ status, host: endpoint.host, subject: this.digest });
  }

  #bodyShort(endpoint: Endpoint, got: number, wanted: number) {
    return unavailable(
      `Cannot read "${this.digest}" from ${endpoint.host}: want ${wanted} bytes, got ${got}`,
      {
        subject: this.digest,
        reason: "body-short",
      },
    );
  }
}

interface ReadAttempt {
  readonly endpoint: Endpoint;
  readonly offset: number;
  readonly length: number;
  readonly signal: AbortSignal | undefined;
  readonly priority: RequestPriority | undefined;
  readonly attempt: number;
}

function keyOf(endpoint: Endpoint): string {
  return endpoint.origin + endpoint.path;
}

function checkRange(range: { offset: number; length: number }, size: number): void {
  const { offset, length } = range;
  if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(length) || offset < 0 || length < 0) {
    throw invalidArgument(`Cannot read a range: want counts of bytes, got ${offset}+${length}`, {
      reason: "range-invalid",
    });
  }
  if (length > size - offset) {
    throw outOfRange(`Cannot read a range: want it within ${size} bytes, got ${offset}+${length}`, {
      reason: "range-outside",
    });
  }
}

export function noHost(description: string, capability: string) {
  return unavailable(`Cannot reach "${description}": want a host that may ${capability}, got none`, {
    subject: description,
    reason: "no-host",
    hint: 'Check "capabilities" in hosts.toml',
  });
}
