import { type Digest, digestAlgorithm } from "../bytes/index.js";
import { dataLoss, failedPrecondition, LazuliError } from "../errors/index.js";
import type { Client, ClientRequest } from "./client.js";
import type { Clock } from "./clock.js";
import { type Endpoint, endpointUrl } from "./endpoint.js";
import type { Exchange } from "./exchange.js";
import { statusFailure } from "./failures.js";
import type { HostStates } from "./host-states.js";
import { ERROR_ANSWER_BYTES_MAX } from "./limits.js";
import { noHost } from "./registry-blob.js";
import { RetryPlan, type RetryPolicy } from "./retry-plan.js";

export interface PushTargetOptions {
  readonly client: Client;
  readonly clock: Clock;
  readonly hosts: HostStates;
  readonly policy: RetryPolicy;
  readonly endpoints: readonly Endpoint[];
  /** `registry.example/library/python`. */
  readonly description: string;
  readonly repository: string;
}

export interface PushBlob {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  /** The blob from its beginning; called for each try. */
  readonly open: () => AsyncIterable<Uint8Array>;
  /** A repository of the same registry that may have it already. */
  readonly mountFrom?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface PushManifest {
  readonly bytes: Buffer;
  readonly digest: Digest;
  readonly mediaType: string;
  /** undefined: under its digest only. */
  readonly tag?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** How a blob came to be at the registry. */
export type PushOutcome = "present" | "mounted" | "pushed";

/** One repository of a registry, for writing (OCI distribution-spec, "Push"). Mirrors are not written to. */
export class PushTarget {
  readonly #options: PushTargetOptions;

  constructor(options: PushTargetOptions) {
    this.#options = options;
  }

  /** Whether the registry has it in this repository. @throws as `pushBlob` */
  async hasBlob(
    digest: Digest,
    options: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<boolean> {
    const suffix = `blobs/${digest}`;
    const { signal } = options;
    return await this.#retried(suffix, signal, async (endpoint, attempt) =>
      this.#has(endpoint, { suffix, attempt, signal }),
    );
  }

  /** @throws UNAUTHENTICATED, PERMISSION_DENIED, UNAVAILABLE, DEADLINE_EXCEEDED, FAILED_PRECONDITION */
  async pushBlob(blob: PushBlob): Promise<PushOutcome> {
    return await this.#retried(`blobs/${blob.digest}`, blob.signal, async (endpoint, attempt) => {
      if (await this.#has(endpoint, { suffix: `blobs/${blob.digest}`, attempt, signal: blob.signal })) {
        return "present";
      }
      const place = await this.#startUpload(endpoint, blob, attempt);
      if (place === undefined) return "mounted";
      await this.#upload(endpoint, { blob, place, attempt });
      return "pushed";
    });
  }

  /** Blobs that it names must be there. @throws as `pushBlob`; DATA_LOSS when the registry kept something else */
  async pushManifest(manifest: PushManifest): Promise<void> {
    const { bytes, digest, mediaType, tag, signal } = manifest;
    const suffix = `manifests/${tag ?? digest}`;
    await this.#retried(suffix, signal, async (endpoint, attempt) => {
      const headers = { "content-type": mediaType, "content-length": String(bytes.length) };
      const request = { method: "PUT", headers, body: bytes, attempt, signal } as const;
      await using answer = await this.#send(endpoint, suffix, request);
      const { exchange } = answer;
      if (exchange.status !== 201) throw await this.#refused(exchange, suffix, "201");
      const kept = exchange.header("docker-content-digest");
      const algorithm = digestAlgorithm(digest);
      if (kept === undefined || !kept.startsWith(`${algorithm}:`) || kept === digest) return;
      throw dataLoss(
        `Cannot push "${suffix}" to ${exchange.host}: want digest ${digest}, got ${exchange.withoutSecrets(kept)}`,
        {
          subject: digest,
          reason: "digest-mismatch",
        },
      );
    });
  }

  async #has(
    endpoint: Endpoint,
    asked: {
      readonly suffix: string;
      readonly attempt: number;
      readonly signal: AbortSignal | undefined;
    },
  ): Promise<boolean> {
    const { suffix, attempt, signal } = asked;
    await using answer = await this.#send(endpoint, suffix, { method: "HEAD", headers: {}, attempt, signal });
    const { exchange } = answer;
    if (exchange.status === 200) return true;
    if (exchange.status === 404) return false;
    throw await this.#refused(exchange, suffix, "200 or 404");
  }

  /** Where the bytes go; undefined when the registry had them in another repository. */
  async #startUpload(endpoint: Endpoint, blob: PushBlob, attempt: number): Promise<URL | undefined> {
    const { digest, mountFrom, signal } = blob;
    const suffix = "blobs/uploads/";
    const query = mountFrom === undefined ? {} : { mount: digest, from: mountFrom };
    const headers = { "content-length": "0" };
    const request = { method: "POST", headers, query, attempt, signal } as const;
    await using answer = await this.#send(endpoint, suffix, request);
    const { exchange } = answer;
    if (exchange.status === 201 && mountFrom !== undefined) return undefined;
    if (exchange.status !== 202) throw await this.#refused(exchange, suffix, "202");
    const location = exchange.header("location");
    const place = location === undefined ? undefined : URL.parse(location, exchange.url.href);
    // The place of an upload is trusted with the credential and the bytes.
    if (place?.origin !== exchange.url.origin) {
      throw failedPrecondition(
        `Cannot push to ${exchange.host}: want a place for the upload on the same host, got ${place === undefined || place === null ? "none" : exchange.withoutSecrets(place.host)}`,
        { subject: digest, reason: "upload-place" },
      );
    }
    return place;
  }

  async #upload(
    endpoint: Endpoint,
    upload: { readonly blob: PushBlob; readonly place: URL; readonly attempt: number },
  ): Promise<void> {
    const { blob, attempt } = upload;
    const { digest, size, open, signal } = blob;
    const place = new URL(upload.place);
    place.searchParams.set("digest", digest);
    const headers = { "content-type": "application/octet-stream", "content-length": String(size) };
    const request = { method: "PUT", headers, body: open, url: place, attempt, signal } as const;
    await using answer = await this.#send(endpoint, "blobs/uploads/", request);
    const { exchange } = answer;
    if (exchange.status !== 201) throw await this.#refused(exchange, `blobs/${digest}`, "201");
  }

  async #send(
    endpoint: Endpoint,
    suffix: string,
    options: Pick<ClientRequest, "method" | "headers" | "body" | "attempt" | "signal"> & {
      readonly url?: URL;
      readonly query?: Readonly<Record<string, string>>;
    },
  ): Promise<AsyncDisposable & { readonly exchange: Exchange }> {
    const { client, repository } = this.#options;
    const { query = {}, url = endpointUrl({ endpoint, repository, suffix }), ...request } = options;
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
    const exchange = await client.send({ ...request, kind: "push", endpoint, repository, url });
    return { exchange, [Symbol.asyncDispose]: async () => await exchange.finish() };
  }

  /** What the registry says about it goes into the message: who pushes is who can put it right. */
  async #refused(exchange: Exchange, suffix: string, wanted: string): Promise<LazuliError> {
    const { status, host } = exchange;
    const subject = `${this.#options.description} ${suffix}`;
    const failure = statusFailure({ status, host, subject, action: "push", wanted });
    const told = await toldBy(exchange);
    if (told === "") return failure;
    const { code, reason, hint } = failure;
    return new LazuliError(code, `${failure.message}: ${exchange.withoutSecrets(told)}`, {
      subject,
      ...(reason === undefined ? {} : { reason }),
      ...(hint === undefined ? {} : { hint }),
    });
  }

  async #retried<Result>(
    suffix: string,
    signal: AbortSignal | undefined,
    work: (endpoint: Endpoint, attempt: number) => Promise<Result>,
  ): Promise<Result> {
    const { endpoints, policy, clock, hosts, description } = this.#options;
    const all = endpoints.filter(
      ({ capabilities, namespace, isServer = false }) =>
        capabilities.includes("push") && (namespace === undefined || isServer),
    );
    if (all.length === 0) throw noHost(`${description} ${suffix}`, "push");
    const plan = new RetryPlan({ ranked: all, all, policy, clock, hosts });
    for (;;) {
      const endpoint = await plan.next(signal);
      try {
        return await work(endpoint, plan.attempt);
      } catch (error) {
        signal?.throwIfAborted();
        plan.failed(endpoint, error, { progressed: false });
      }
    }
  }
}

/** The texts of a registry's error answer (distribution-spec, "Error Codes"); "" where there are none. */
async function toldBy(exchange: Exchange): Promise<string> {
  try {
    const pieces: Buffer[] = [];
    let bytes = 0;
    for await (const piece of exchange.pieces()) {
      bytes += piece.length;
      if (bytes > ERROR_ANSWER_BYTES_MAX) return "";
      pieces.push(piece);
    }
    const { errors } = JSON.parse(Buffer.concat(pieces).toString("utf8")) as { errors?: unknown };
    if (!Array.isArray(errors)) return "";
    const texts = errors.slice(0, 3).map((one: { code?: unknown; message?: unknown }) => {
      const parts = [one?.code, one?.message].filter((part) => typeof part === "string" && part !== "");
      return parts.join(": ").slice(0, 200);
    });
    // Control characters of a stranger's text would reach a terminal.
    return texts.join("; ").replaceAll(/\p{Cc}/gu, " ");
  } catch {
    // An answer that can't be read adds nothing to its status.
    return "";
  }
}
