import type { LookupFunction } from "node:net";
import { setImmediate } from "node:timers/promises";
import { type Digest, parseDigest } from "../bytes/index.js";
import { invalidArgument } from "../errors/index.js";
import { type Descriptor, parseReference } from "../oci/index.js";
import { Authorizer } from "./authorizer.js";
import type { BlobSource } from "./blob-source.js";
import { Client } from "./client.js";
import { type Clock, systemClock } from "./clock.js";
import type { CredentialProvider } from "./credential.js";
import { Credentials } from "./credentials.js";
import { DockerConfigCredentials, defaultDockerConfigPaths } from "./docker-config.js";
import { defaultTls } from "./endpoint.js";
import { type HostFigures, HostStates } from "./host-states.js";
import { Hosts } from "./hosts.js";
import { MANIFEST_BYTES_MAX } from "./limits.js";
import { PushTarget } from "./push-target.js";
import { type ListReferrers, listReferrers } from "./referrers.js";
import { RegistryBlob } from "./registry-blob.js";
import type { RetryPolicy } from "./retry-plan.js";
import { Transport } from "./transport.js";
import { readVerified } from "./verified-read.js";

/** Everything has a default that suits a node. */
export interface RegistryOptions {
  /** containerd's `certs.d` folders, searched in order. */
  readonly hostsDirectories?: readonly string[];
  /** Of registries that no hosts.toml says anything of; https by default, and http for those on this machine. */
  readonly defaultScheme?: "http" | "https" | undefined;
  /** Sent to every registry and mirror; may hold secrets. */
  readonly headers?: Readonly<Record<string, readonly string[]>> | undefined;
  /** Docker config.json files, asked in order; `$DOCKER_CONFIG` or `~/.docker` by default. */
  readonly dockerConfigPaths?: readonly string[];
  /** Asked before the Docker configs, in order. */
  readonly credentials?: readonly CredentialProvider[];
  /** An attempt without a byte for this long is given up; 10 s by default. */
  readonly stallTimeoutMs?: number;
  /** For opening a connection; 5 s by default, `dial_timeout` of a hosts.toml overrides it. */
  readonly connectTimeoutMs?: number;
  /** 8 rounds with waits from 100 ms to 8 s by default. */
  readonly retry?: RetryPolicy;
  /** Longest pause that a host may ask for with `Retry-After`; the longest wait of `retry` by default. */
  readonly retryAfterMaxMs?: number;
  /** Requests at once to one host, the others wait; 16 by default. */
  readonly requestsPerHostMax?: number;
  /** Requests that may begin a second at one host, the others wait; no limit unless given, nor with 0. */
  readonly requestsPerSecondMax?: number;
  /** Another one that asks the same hosts: what they may be asked counts for both, and what is known of them. */
  readonly besides?: Registry | undefined;
  readonly userAgent?: string;
  readonly clock?: Clock;
  /** Follow redirects from https to http. */
  readonly allowRedirectDowngrade?: boolean;
  /** Follow redirects of public registries to addresses of this machine and its link. */
  readonly allowLocalRedirects?: boolean;
  /** In place of the system's DNS lookup. */
  readonly lookup?: LookupFunction;
}

export interface OpenBlob {
  /** Image reference, e.g. `registry.example/library/python:3.12`. */
  readonly reference: string;
  readonly digest: Digest;
  /** Bytes, where the descriptor told: then nothing is asked before the first read. */
  readonly size?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface FetchedManifest {
  readonly bytes: Buffer;
  readonly digest: Digest;
  /** As the registry named it; "" when it did not. */
  readonly mediaType: string;
}

const defaultRetry: RetryPolicy = { attempts: 8, minWaitMs: 100, maxWaitMs: 8000 };

const manifestTypes = [
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.docker.distribution.manifest.v2+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
].join(", ");

/**
 * OCI distribution for the whole process: connections, tokens and what is known of each host are
 * shared by all blobs. Whoever makes it closes it.
 */
export class Registry {
  readonly #hosts: Hosts;
  readonly #transport: Transport;
  readonly #shared: { client: Client; clock: Clock; hosts: HostStates; policy: RetryPolicy };

  constructor(options: RegistryOptions) {
    const clock = options.clock ?? systemClock;
    const policy = options.retry ?? defaultRetry;
    const requestsPerHostMax = options.requestsPerHostMax ?? 16;
    this.requestsPerHostMax = requestsPerHostMax;
    const { requestsPerSecondMax = 0, besides } = options;
    const states =
      besides === undefined
        ? new HostStates({ clock, requestsPerHostMax, requestsPerSecondMax })
        : besides.#shared.hosts;
    const { defaultScheme, headers } = options;
    this.#hosts = new Hosts({ directories: options.hostsDirectories ?? [], clock, defaultScheme, headers });
    this.#transport = new Transport({
      stallTimeoutMs: options.stallTimeoutMs ?? 10_000,
      connectTimeoutMs: options.connectTimeoutMs ?? 5_000,
      requestsPerHostMax,
      pauseMaxMs: options.retryAfterMaxMs ?? policy.maxWaitMs,
      userAgent: options.userAgent ?? "lazuli",
      clock,
      hosts: states,
      lookup: options.lookup,
    });
    const paths = options.dockerConfigPaths ?? defaultDockerConfigPaths();
    const dockerConfigs = paths.map((path) => new DockerConfigCredentials({ path, clock }));
    const credentials = new Credentials([...(options.credentials ?? []), ...dockerConfigs]);
    const client = new Client({
      transport: this.#transport,
      authorizer: new Authorizer({ transport: this.#transport, credentials, clock }),
      allowRedirectDowngrade: options.allowRedirectDowngrade ?? false,
      allowLocalRedirects: options.allowLocalRedirects ?? false,
    });
    this.#shared = { client, clock, hosts: states, policy };
  }

  /** Requests at once to one host. */
  readonly requestsPerHostMax: number;

  /** What each host is asked now. */
  get figures(): readonly HostFigures[] {
    return this.#shared.hosts.figures;
  }

  /** Parses the certificates of the configured hosts, so that no request has to wait for it. Never throws. */
  async rehearse(): Promise<void> {
    const facts = [defaultTls];
    for (const name of await this.#hosts.configured().catch(() => [])) {
      const endpoints = await this.#hosts.endpoints(name).catch(() => []); // Its first request tells.
      facts.push(...endpoints.filter(({ origin }) => origin.startsWith("https:")).map(({ tls }) => tls));
    }
    for (const tls of facts) {
      try {
        this.#transport.prepare(tls);
      } catch {
        // The first request to that host fails of it, and says so.
      }
      await setImmediate();
    }
  }

  /** @throws INVALID_ARGUMENT; when the size is not given also what `readRange` throws */
  async openBlob(options: OpenBlob): Promise<BlobSource> {
    const { registry, repository } = parseReference(options.reference);
    const { size } = options;
    if (size !== undefined && (!Number.isSafeInteger(size) || size < 0)) {
      throw invalidArgument(`Cannot open a blob: want its size in bytes, got ${size}`, {
        reason: "size-invalid",
      });
    }
    const blob = new RegistryBlob({
      ...this.#shared,
      endpoints: () => this.#hosts.endpoints(registry),
      description: `${registry}/${repository}`,
      repository,
      digest: parseDigest(options.digest),
      size,
    });
    if (size === undefined) await blob.measure(options.signal);
    return blob;
  }

  /**
   * A manifest or index by tag or digest, its digest verified, at most 4 MiB. @throws NOT_FOUND, UNAUTHENTICATED,
   * PERMISSION_DENIED, UNAVAILABLE, DEADLINE_EXCEEDED, DATA_LOSS, RESOURCE_EXHAUSTED
   */
  async fetchManifest(options: {
    reference: string;
    signal?: AbortSignal | undefined;
  }): Promise<FetchedManifest> {
    const { registry, repository, tag, digest } = parseReference(options.reference);
    const found = await readVerified({
      ...this.#shared,
      endpoints: await this.#hosts.endpoints(registry),
      capability: digest === undefined ? "resolve" : "pull",
      kind: "manifest",
      description: `${registry}/${repository}`,
      repository,
      suffix: `manifests/${digest ?? tag ?? "latest"}`,
      accept: manifestTypes,
      digest,
      bytesMax: MANIFEST_BYTES_MAX,
      signal: options.signal,
    });
    return { bytes: found.bytes, digest: found.digest, mediaType: found.contentType };
  }

  /** A short blob as a whole, verified: image configurations, external TOCs. @throws as `fetchManifest` */
  async fetchBlobBytes(options: {
    reference: string;
    digest: Digest;
    maxBytes: number;
    signal?: AbortSignal | undefined;
  }): Promise<Buffer> {
    const { registry, repository } = parseReference(options.reference);
    const digest = parseDigest(options.digest);
    const found = await readVerified({
      ...this.#shared,
      endpoints: await this.#hosts.endpoints(registry),
      capability: "pull",
      kind: "blob",
      description: `${registry}/${repository}`,
      repository,
      suffix: `blobs/${digest}`,
      accept: "*/*",
      digest,
      bytesMax: options.maxBytes,
      signal: options.signal,
    });
    return found.bytes;
  }

  /** A repository to write to; its tag or digest is not looked at. @throws INVALID_ARGUMENT */
  async pushTarget(reference: string): Promise<PushTarget> {
    const { registry, repository } = parseReference(reference);
    return new PushTarget({
      ...this.#shared,
      endpoints: await this.#hosts.endpoints(registry),
      description: `${registry}/${repository}`,
      repository,
    });
  }

  /**
   * What refers to a manifest (distribution-spec, "Listing Referrers"), newest API first, then the tag that stands in
   * for it; none when the registry knows neither. @throws as `fetchManifest`
   */
  async referrers(options: ListReferrers): Promise<readonly Descriptor[]> {
    const { registry, repository } = parseReference(options.reference);
    return await listReferrers({
      ...this.#shared,
      ...options,
      endpoints: await this.#hosts.endpoints(registry),
      description: `${registry}/${repository}`,
      repository,
    });
  }

  /** Ends all requests and closes all connections. */
  async close(): Promise<void> {
    await this.#transport.close();
  }
}
