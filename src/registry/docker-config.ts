import { homedir } from "node:os";
import { join } from "node:path";
import { failedPrecondition } from "../errors/index.js";
import { BoundedMap } from "./bounded-map.js";
import type { Clock } from "./clock.js";
import { type Credential, type CredentialProvider, type CredentialQuery, loginHost } from "./credential.js";
import { askCredentialHelper } from "./credential-helper.js";
import { CREDENTIAL_CACHE_MAX, CREDENTIAL_CACHE_MS } from "./limits.js";
import { readSmallFile } from "./small-file.js";

/** Docker's own key for Docker Hub. */
const DOCKER_HUB_KEY = "https://index.docker.io/v1/";

interface DockerConfig {
  readonly auths: ReadonlyMap<string, Credential>;
  readonly helpers: ReadonlyMap<string, string>;
  readonly store: string | undefined;
}

/** `$DOCKER_CONFIG/config.json`, else `~/.docker/config.json`. */
export function defaultDockerConfigPaths(): string[] {
  const folder = process.env.DOCKER_CONFIG;
  if (folder !== undefined && folder !== "") return [join(folder, "config.json")];
  return [join(process.env.HOME ?? homedir(), ".docker", "config.json")];
}

/** Credentials of one Docker config.json: credHelpers, then credsStore, then auths, as Docker's own client does. */
export class DockerConfigCredentials implements CredentialProvider {
  readonly name: string;
  readonly #path: string;
  readonly #clock: Clock;
  readonly #answers = new BoundedMap<
    string,
    { readonly untilMs: number; readonly found: Credential | undefined }
  >({
    entriesMax: CREDENTIAL_CACHE_MAX,
  });
  #known: { readonly version: string; readonly config: DockerConfig } | undefined;

  constructor(options: { path: string; clock: Clock }) {
    this.name = options.path;
    this.#path = options.path;
    this.#clock = options.clock;
  }

  async find(query: CredentialQuery): Promise<Credential | undefined> {
    const config = await this.#read();
    if (config === undefined) return undefined;
    const host = loginHost(query.host);
    const helper = config.helpers.get(host) ?? config.store;
    const found = helper === undefined ? undefined : await this.#ask({ helper, host, query });
    return found ?? config.auths.get(host);
  }

  async #ask(options: {
    helper: string;
    host: string;
    query: CredentialQuery;
  }): Promise<Credential | undefined> {
    const { helper, host, query } = options;
    const key = `${helper} ${host}`;
    const known = this.#answers.get(key);
    if (!query.fresh && known !== undefined && known.untilMs > this.#clock.monotonicMs()) return known.found;
    const server = host === "docker.io" ? DOCKER_HUB_KEY : host;
    const found = await askCredentialHelper({ helper, server, signal: query.signal });
    this.#answers.set(key, { untilMs: this.#clock.monotonicMs() + CREDENTIAL_CACHE_MS, found });
    return found;
  }

  async #read(): Promise<DockerConfig | undefined> {
    const file = await readSmallFile(this.#path, this.#known?.version);
    if (file === "unchanged") return this.#known?.config;
    this.#known =
      file === undefined
        ? undefined
        : { version: file.version, config: parseDockerConfig(file.text, this.#path) };
    return this.#known?.config;
  }
}

/** @throws FAILED_PRECONDITION without a word of the text, which is full of secrets */
export function parseDockerConfig(text: string, path: string): DockerConfig {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    // The parser's message quotes the text.
    throw failedPrecondition(`Cannot read "${path}": want JSON, got something else`, {
      subject: path,
      reason: "docker-config-invalid",
    });
  }
  const root = record(json);
  const auths = new Map<string, Credential>();
  for (const [key, value] of Object.entries(record(root.auths))) {
    const credential = credentialOf(record(value));
    if (credential !== undefined) auths.set(hostOfKey(key), credential);
  }
  const helpers = new Map<string, string>();
  for (const [key, value] of Object.entries(record(root.credHelpers))) {
    if (typeof value === "string" && value !== "") helpers.set(hostOfKey(key), value);
  }
  const store = root.credsStore;
  return { auths, helpers, store: typeof store === "string" && store !== "" ? store : undefined };
}

function record(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : {};
}

/** Keys are hosts, or old-style URLs such as `https://index.docker.io/v1/`. */
function hostOfKey(key: string): string {
  return loginHost(key.replace(/^https?:\/\//, "").replace(/\/.*$/, ""));
}

function credentialOf(entry: Record<string, unknown>): Credential | undefined {
  const { identitytoken, registrytoken, auth, username, password } = entry;
  if (typeof registrytoken === "string" && registrytoken !== "") {
    return { kind: "registry-token", registryToken: registrytoken };
  }
  if (typeof identitytoken === "string" && identitytoken !== "") {
    return { kind: "identity-token", identityToken: identitytoken };
  }
  if (typeof auth === "string" && auth !== "") {
    const decoded = Buffer.from(auth, "base64").toString("utf8").replace(/\0+$/, "");
    const colon = decoded.indexOf(":");
    if (colon <= 0) return undefined;
    return { kind: "password", username: decoded.slice(0, colon), password: decoded.slice(colon + 1) };
  }
  if (typeof username === "string" && typeof password === "string" && username !== "") {
    return { kind: "password", username, password };
  }
  return undefined;
}
