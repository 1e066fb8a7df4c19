import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { failedPrecondition, LazuliError } from "../errors/index.js";
import { log } from "../observe/index.js";
import { hostnameKind } from "./addresses.js";
import { BoundedMap } from "./bounded-map.js";
import type { Clock } from "./clock.js";
import { type ClientPair, defaultTls, type Endpoint, type TlsFacts } from "./endpoint.js";
import { type HostEntry, parseHostsToml } from "./hosts-toml.js";
import { CONFIG_ENTRIES_MAX, HOSTS_CACHE_MAX, HOSTS_CACHE_MS, REHEARSED_MAX } from "./limits.js";
import { readSmallFile } from "./small-file.js";

/** Docker Hub's content lives at another name than its references say. */
const DOCKER_HUB_HOST = "registry-1.docker.io";

/** Finds the endpoints of a registry in containerd's `certs.d` folders. */
export class Hosts {
  readonly #directories: readonly string[];
  readonly #clock: Clock;
  readonly #defaultScheme: "http" | "https" | undefined;
  readonly #headers: Readonly<Record<string, readonly string[]>>;
  readonly #known = new BoundedMap<
    string,
    { readonly untilMs: number; readonly endpoints: readonly Endpoint[] }
  >({
    entriesMax: HOSTS_CACHE_MAX,
  });

  constructor(options: {
    directories: readonly string[];
    clock: Clock;
    /** Of registries that no hosts.toml says anything of. */
    defaultScheme?: "http" | "https" | undefined;
    /** Sent to every endpoint; those of a hosts.toml win. */
    headers?: Readonly<Record<string, readonly string[]>> | undefined;
  }) {
    this.#directories = options.directories;
    this.#clock = options.clock;
    this.#defaultScheme = options.defaultScheme;
    this.#headers = options.headers ?? {};
  }

  /**
   * Mirrors in the order of the file, the registry itself last. `registry` is the host of a reference, such as
   * `docker.io` or `127.0.0.1:5000`. A configuration that gets broken later is logged, and the one before it goes on
   * to be used. @throws FAILED_PRECONDITION for a configuration that can't be used
   */
  async endpoints(registry: string): Promise<readonly Endpoint[]> {
    const known = this.#known.get(registry);
    if (known !== undefined && known.untilMs > this.#clock.monotonicMs()) return known.endpoints;
    const endpoints = await this.#withHeaders(registry).catch((error: unknown) => {
      if (known === undefined || !(error instanceof LazuliError)) throw error;
      // A slip in an edit must not take away what running containers read.
      log.warn("Cannot use the hosts configuration, going on with the one from before", {
        registry,
        error: error.message,
      });
      return known.endpoints;
    });
    this.#known.set(registry, { untilMs: this.#clock.monotonicMs() + HOSTS_CACHE_MS, endpoints });
    return endpoints;
  }

  /** Registries that have a folder; not all where they are many. */
  async configured(): Promise<readonly string[]> {
    const names = new Set<string>();
    for (const directory of this.#directories) {
      for (const name of (await namesIn(directory)) ?? []) names.add(registryOf(name));
    }
    return [...names].slice(0, REHEARSED_MAX);
  }

  async #withHeaders(registry: string): Promise<readonly Endpoint[]> {
    const endpoints = await this.#find(registry);
    return endpoints.map((endpoint) => ({ ...endpoint, headers: { ...this.#headers, ...endpoint.headers } }));
  }

  async #find(registry: string): Promise<readonly Endpoint[]> {
    for (const directory of this.#directories) {
      for (const name of folderNames(registry)) {
        const folder = join(directory, name);
        const names = await namesIn(folder);
        if (names !== undefined) return await endpointsOfFolder({ folder, names, registry });
      }
    }
    const endpoint = defaultEndpoint(registry, defaultTls);
    if (this.#defaultScheme === undefined) return [endpoint];
    return [{ ...endpoint, origin: `${this.#defaultScheme}://${endpoint.host}` }];
  }
}

/** `:` is awkward in file names, hence the form with underscores (containerd core/remotes/docker/config). */
function folderNames(registry: string): string[] {
  const port = /^(.*):(\d+)$/.exec(registry);
  const names = port === null ? [registry] : [`${port[1]}_${port[2]}_`, registry, port[1]!];
  return [...names, "_default"];
}

function registryOf(folderName: string): string {
  const port = /^(.*)_(\d+)_$/.exec(folderName);
  return port === null ? folderName : `${port[1]}:${port[2]}`;
}

async function namesIn(folder: string): Promise<string[] | undefined> {
  try {
    return await readdir(folder);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw error;
  }
}

interface Folder {
  readonly folder: string;
  readonly names: readonly string[];
  readonly registry: string;
}

async function endpointsOfFolder({ folder, names, registry }: Folder): Promise<readonly Endpoint[]> {
  const path = join(folder, "hosts.toml");
  const file = names.includes("hosts.toml") ? await readSmallFile(path) : undefined;
  if (file === undefined || file === "unchanged") {
    return [defaultEndpoint(registry, await tlsOfFolder({ folder, names, registry }))];
  }
  const hosts = parseHostsToml({ text: file.text, path, folder, fallbackUrl: defaultUrl(registry) });
  const endpoints: Endpoint[] = [];
  for (const mirror of hosts.mirrors) endpoints.push(await endpointOf(mirror, registry));
  return [...endpoints, { ...(await endpointOf(hosts.server, registry)), isServer: true }];
}

/** Docker's form: `*.crt` are authorities, `x.cert` with `x.key` is a client pair. */
async function tlsOfFolder({ folder, names }: Folder): Promise<TlsFacts> {
  const authorities = names.filter((name) => name.endsWith(".crt")).sort();
  const certificates = names.filter((name) => name.endsWith(".cert")).sort();
  if (authorities.length + certificates.length === 0) return defaultTls;
  return await readTls({
    authorityFiles: authorities.map((name) => join(folder, name)),
    clientFiles: certificates.map((name) => ({
      certificate: join(folder, name),
      key: join(folder, name.replace(/\.cert$/, ".key")),
    })),
    verify: true,
  });
}

async function endpointOf(entry: HostEntry, registry: string): Promise<Endpoint> {
  const trimmed = entry.url.pathname.replace(/\/+$/, "");
  const path = entry.overridePath || trimmed.endsWith("/v2") ? trimmed : `${trimmed}/v2`;
  const { capabilities, headers, dialTimeoutMs, url } = entry;
  return {
    origin: url.origin,
    host: url.host,
    path,
    capabilities,
    tls: await readTls(entry),
    headers,
    connectTimeoutMs: dialTimeoutMs,
    namespace: url.host === defaultUrl(registry).host ? undefined : registry,
  };
}

async function readTls(
  files: Pick<HostEntry, "authorityFiles" | "clientFiles" | "verify">,
): Promise<TlsFacts> {
  const { authorityFiles, clientFiles, verify } = files;
  if (authorityFiles.length === 0 && clientFiles.length === 0 && verify) return defaultTls;
  if (authorityFiles.length + clientFiles.length > CONFIG_ENTRIES_MAX) {
    throw failedPrecondition(`Cannot read certificates: want at most ${CONFIG_ENTRIES_MAX} files, got more`, {
      reason: "hosts-config-invalid",
    });
  }
  const authorities: string[] = [];
  for (const path of authorityFiles) authorities.push(await readPem(path));
  const clientPairs: ClientPair[] = [];
  for (const pair of clientFiles) {
    clientPairs.push({ certificate: await readPem(pair.certificate), key: await readPem(pair.key) });
  }
  return { authorities, clientPairs, verify };
}

async function readPem(path: string): Promise<string> {
  const file = await readSmallFile(path);
  if (file !== undefined && file !== "unchanged") return file.text;
  throw failedPrecondition(`Cannot read "${path}": want a certificate or key, got no file`, {
    subject: path,
    reason: "hosts-config-invalid",
    hint: "Check the paths in hosts.toml",
  });
}

function defaultEndpoint(registry: string, tls: TlsFacts): Endpoint {
  const url = defaultUrl(registry);
  return {
    origin: url.origin,
    host: url.host,
    path: "/v2",
    capabilities: ["pull", "resolve", "push"],
    tls,
    headers: {},
    connectTimeoutMs: undefined,
    namespace: undefined,
  };
}

/** How a registry is asked that no hosts.toml says anything of. */
export function usualScheme(registry: string): "http" | "https" {
  return defaultUrl(registry).protocol === "http:" ? "http" : "https";
}

/** Plain HTTP for registries on this machine, as containerd does. */
function defaultUrl(registry: string): URL {
  const host = registry === "docker.io" ? DOCKER_HUB_HOST : registry;
  const url = new URL(`https://${host}`);
  return hostnameKind(url.hostname) === "loopback" ? new URL(`http://${host}`) : url;
}
