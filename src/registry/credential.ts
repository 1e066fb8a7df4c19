import { createHash } from "node:crypto";

/** What a registry or its token server takes as proof of who we are. Never logged. */
export type Credential =
  | { readonly kind: "password"; readonly username: string; readonly password: string }
  /** An OAuth2 refresh token (`identitytoken` of Docker's config.json). */
  | { readonly kind: "identity-token"; readonly identityToken: string }
  /** A bearer token for the registry itself (`registrytoken`). */
  | { readonly kind: "registry-token"; readonly registryToken: string };

export interface CredentialQuery {
  /** `registry.example:5000`; `docker.io` for Docker Hub, whatever its servers are called. */
  readonly host: string;
  /** The registry of the image, where `host` is a mirror or another address of it; undefined: `host` itself. */
  readonly registry?: string | undefined;
  /** A mirror is somebody else than the registry, and gets none of its credentials. */
  readonly isMirror?: boolean | undefined;
  /** `library/python`. */
  readonly repository: string;
  readonly signal?: AbortSignal | undefined;
  /** What was found before was refused: don't answer from a cache. */
  readonly fresh: boolean;
}

/** A place where credentials are looked up at the moment of use; undefined: it knows none for this host. */
export interface CredentialProvider {
  /** For logs. */
  readonly name: string;
  find(query: CredentialQuery): Promise<Credential | undefined>;
}

/** A name of a credential that tells nothing about it. */
export function credentialKey(credential: Credential | undefined): string {
  if (credential === undefined) return "anonymous";
  return createHash("sha256").update(JSON.stringify(credential)).digest("hex");
}

const dockerHubHosts = new Set([
  "docker.io",
  "index.docker.io",
  "registry-1.docker.io",
  "registry.hub.docker.com",
]);

/** The name under which people log in to a host. */
export function loginHost(host: string): string {
  return dockerHubHosts.has(host) ? "docker.io" : host;
}
