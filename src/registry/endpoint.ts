export type Capability = "pull" | "resolve" | "push";

export interface ClientPair {
  /** PEM. */
  readonly certificate: string;
  readonly key: string;
}

/** What decides whether two connections may be shared. */
export interface TlsFacts {
  /** PEM certificates trusted beside the machine's own. */
  readonly authorities: readonly string[];
  readonly clientPairs: readonly ClientPair[];
  readonly verify: boolean;
}

export const defaultTls: TlsFacts = { authorities: [], clientPairs: [], verify: true };

/** One place where a registry's content can be had: the registry itself or a mirror of it. */
export interface Endpoint {
  /** `https://mirror.example:5000`. */
  readonly origin: string;
  /** `mirror.example:5000`. */
  readonly host: string;
  /** Path in front of `/<repository>/…`, e.g. `/v2`. */
  readonly path: string;
  readonly capabilities: readonly Capability[];
  readonly tls: TlsFacts;
  /** Configured headers; may hold secrets, so they go to this origin only. */
  readonly headers: Readonly<Record<string, readonly string[]>>;
  readonly connectTimeoutMs: number | undefined;
  /** The registry that it mirrors, sent as `?ns=`; undefined for the registry itself. */
  readonly namespace: string | undefined;
  /** The `server` of a hosts.toml: the registry itself, whatever its address is called. */
  readonly isServer?: boolean;
}

/** The URL of something of a repository at an endpoint, e.g. `suffix` `blobs/sha256:…`. */
export function endpointUrl(options: { endpoint: Endpoint; repository: string; suffix: string }): URL {
  const { endpoint, repository, suffix } = options;
  const url = new URL(`${endpoint.path}/${repository}/${suffix}`, endpoint.origin);
  if (endpoint.namespace !== undefined) url.searchParams.set("ns", endpoint.namespace);
  return url;
}
