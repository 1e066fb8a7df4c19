import { createHash } from "node:crypto";
import type { AuthConfig } from "../../gen/runtime/v1/api_pb.js";
import { invalidArgument } from "../errors/index.js";
import type { Credential, CredentialProvider } from "../registry/index.js";
import type { PullRequest } from "./contract.js";

type RequestCredential = PullRequest["credential"];

const hubHosts = new Set(["docker.io", "index.docker.io", "registry-1.docker.io"]);
/** Above what a registry takes in a header. */
const AUTH_LENGTH_MAX = 64 * 1024;

/** What a kubelet gives for one pull, in containerd's order. @throws INVALID_ARGUMENT `auth-invalid`, never with a secret */
export function requestCredential(auth: AuthConfig | undefined): RequestCredential {
  if (auth === undefined) return undefined;
  const { username, password, identityToken, registryToken } = auth;
  if (username !== "") return { username, password };
  if (identityToken !== "") return { identityToken };
  if (auth.auth !== "") return decoded(auth.auth);
  return registryToken === "" ? undefined : { registryToken };
}

/** Gives the credential to the server that it is for; "" stands for the image's own registry, and not for its mirrors. */
export function credentialProvider(
  credential: NonNullable<RequestCredential>,
  serverAddress: string,
): CredentialProvider {
  const only = serverAddress === "" ? undefined : serverHost(serverAddress);
  const given = registryCredential(credential);
  return {
    name: "the request",
    find: async ({ host, isMirror = false }) => {
      const isMeant = only === undefined ? !isMirror : only === serverHost(host);
      return isMeant ? given : undefined;
    },
  };
}

/** The same for two requests that may share what one of them brings; tells nothing of the secret. */
export function sharingKey(credential: RequestCredential, serverAddress: string): string {
  return createHash("sha256")
    .update(JSON.stringify([credential ?? null, serverAddress]))
    .digest("hex");
}

function registryCredential(credential: NonNullable<RequestCredential>): Credential {
  if ("username" in credential) return { kind: "password", ...credential };
  if ("identityToken" in credential) return { kind: "identity-token", ...credential };
  return { kind: "registry-token", ...credential };
}

/** Docker's `auth`: base64 of `user:password`. */
function decoded(auth: string): NonNullable<RequestCredential> {
  const isBase64 = auth.length <= AUTH_LENGTH_MAX && /^[A-Za-z0-9+/]+={0,2}$/.test(auth);
  const text = isBase64 ? Buffer.from(auth, "base64").toString("utf8") : "";
  const colon = text.indexOf(":");
  if (colon < 0) {
    throw invalidArgument("Cannot use auth: want base64 of user:password, got something else", {
      reason: "auth-invalid",
    });
  }
  return { username: text.slice(0, colon), password: text.slice(colon + 1).replace(/\0+$/, "") };
}

/** `https://index.docker.io/v1/` and `registry.example:5000` alike. */
function serverHost(address: string): string {
  const host = address.replace(/^[a-z]+:\/\//i, "").replace(/\/.*$/, "");
  return hubHosts.has(host) ? "docker.io" : host;
}
