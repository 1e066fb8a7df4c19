import { parseReference } from "../oci/index.js";
import type { Credential, CredentialProvider, Registry } from "../registry/index.js";
import type { SharedCredentials } from "./shared-credentials.js";
import type { RegistryAccess, TransferRegistry } from "./transfer-contract.js";

export interface RegistryFacts {
  readonly hostsDirectories: readonly string[];
  readonly defaultScheme: "http" | "https" | undefined;
  readonly headers: Readonly<Record<string, readonly string[]>>;
  readonly credentials: readonly CredentialProvider[];
}

export interface OpenTransferRegistry {
  /** Makes a registry with these, and otherwise as the daemon's own. */
  readonly make: (facts: RegistryFacts) => Registry;
  /** The daemon's own folders. */
  readonly hostsDirectories: readonly string[];
  readonly shared: SharedCredentials;
  readonly access: RegistryAccess;
}

/** The registry as a client wants it to be reached. What it knows of hosts and tokens is of one transfer only. */
export async function openTransferRegistry(options: OpenTransferRegistry): Promise<TransferRegistry> {
  // Commands that only convert go without registries.
  const { usualScheme } = await import("../registry/index.js");
  const { make, hostsDirectories, shared, access } = options;
  const { hostsFolder, defaultScheme, headers, reference } = access;
  const folders = hostsFolder === undefined ? hostsDirectories : hostsFolder.split(":");
  const given = new GivenCredential(access);
  const registry = make({
    hostsDirectories: folders,
    defaultScheme,
    headers: Object.fromEntries(
      Object.entries(headers).map(([name, value]) => [name.toLowerCase(), [value]]),
    ),
    credentials: access.credentials === undefined ? [] : [given],
  });
  const { host } = given;
  const isOwnScheme = defaultScheme === undefined || (host !== "" && usualScheme(host) === defaultScheme);
  const isOwnWay = isOwnScheme && Object.keys(headers).length === 0;
  const isOwnFolder =
    hostsFolder === undefined || folders.every((folder) => hostsDirectories.includes(folder));
  return {
    registry,
    get isLasting() {
      return isOwnWay && isOwnFolder && (shared.isKeeping || given.last === undefined);
    },
    shareCredential: async () => {
      if (given.last !== undefined) await shared.note(reference, given.last);
    },
    [Symbol.asyncDispose]: async () => await registry.close(),
  };
}

/** Keeps what the client gave for the image's own host. */
class GivenCredential implements CredentialProvider {
  readonly name: string;
  readonly #inner: CredentialProvider | undefined;
  /** Of the image; "" for a bad reference. */
  readonly host: string;
  #last: Credential | undefined;

  constructor({ credentials, reference }: RegistryAccess) {
    this.name = credentials?.name ?? "";
    this.#inner = credentials;
    this.host = hostOf(reference);
  }

  get last(): Credential | undefined {
    return this.#last;
  }

  async find(query: Parameters<CredentialProvider["find"]>[0]): Promise<Credential | undefined> {
    const found = await this.#inner?.find(query);
    const { host, registry = host, isMirror = false } = query;
    if (!isMirror && registry === this.host) this.#last = found;
    return found;
  }
}

function hostOf(reference: string): string {
  try {
    return parseReference(reference).registry;
  } catch {
    // A bad reference is told when it is resolved.
    return "";
  }
}
