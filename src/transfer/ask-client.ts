import {
  AuthRequestSchema,
  AuthResponseSchema,
  AuthType,
} from "../../gen/containerd/types/transfer/registry_pb.js";
import type { Credential, CredentialQuery } from "../registry/index.js";
import { type ObjectStream, packedObject, unpackedObject } from "../streaming/index.js";

/** One question over a stream. Whoever asks sees to it that there is one at a time. */
export async function askClient(
  { stream, reference }: { readonly stream: ObjectStream; readonly reference: string },
  { host, signal }: CredentialQuery,
): Promise<Credential | undefined> {
  await stream.send(packedObject(AuthRequestSchema, { host: serverOf(host), reference }), { signal });
  const answer = await stream.receive({ signal });
  if (answer === undefined) return undefined;
  const { authType, secret, username } = unpackedObject(AuthResponseSchema, answer);
  return credentialOf({ authType, secret, username });
}

/** Clients look under the name of the server that asks, as containerd tells it. */
function serverOf(host: string): string {
  return host === "docker.io" ? "registry-1.docker.io" : host;
}

function credentialOf(answer: {
  readonly authType: AuthType;
  readonly secret: string;
  readonly username: string;
}): Credential | undefined {
  const { authType, secret, username } = answer;
  if (secret === "") return undefined;
  switch (authType) {
    case AuthType.CREDENTIALS:
      return { kind: "password", username, password: secret };
    case AuthType.REFRESH:
      return { kind: "identity-token", identityToken: secret };
    case AuthType.HEADER:
      return ofHeader(secret);
    default:
      return undefined;
  }
}

/** Of a whole `Authorization` header. */
function ofHeader(header: string): Credential | undefined {
  const [, scheme = "", value = ""] = /^(\S+)\s+(\S+)$/.exec(header.trim()) ?? [];
  if (scheme.toLowerCase() === "bearer") return { kind: "registry-token", registryToken: value };
  if (scheme.toLowerCase() !== "basic") return undefined;
  const [username = "", ...password] = Buffer.from(value, "base64").toString("utf8").split(":");
  return { kind: "password", username, password: password.join(":") };
}
