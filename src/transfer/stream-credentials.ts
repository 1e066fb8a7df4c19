import {
  AuthRequestSchema,
  AuthResponseSchema,
  AuthType,
} from "../../gen/containerd/types/transfer/registry_pb.js";
import { KeyedQueue } from "../async/index.js";
import type { Credential, CredentialProvider, CredentialQuery } from "../registry/index.js";
import { type ObjectStream, packedObject, unpackedObject } from "../streaming/index.js";

/** Hosts that a client is asked for; an image has its registry and a few mirrors. Those beyond are not asked for. */
const HOSTS_MAX = 64;

/** Asks the client itself, over the stream that it opened for that (containerd's `auth_stream`). */
export function streamCredentials(options: {
  readonly stream: ObjectStream;
  readonly reference: string;
}): CredentialProvider {
  const { stream, reference } = options;
  const turns = new KeyedQueue<"stream">();
  const known = new Map<string, Credential | undefined>();
  const ask = async ({ host, signal }: CredentialQuery): Promise<Credential | undefined> => {
    await stream.send(packedObject(AuthRequestSchema, { host: serverOf(host), reference }), { signal });
    const answer = await stream.receive({ signal });
    if (answer === undefined) return undefined;
    const { authType, secret, username } = unpackedObject(AuthResponseSchema, answer);
    return credentialOf({ authType, secret, username });
  };
  return {
    name: "client of the transfer",
    find: async (query) =>
      // An answer belongs to the question before it.
      await turns.run("stream", async () => {
        const { host, fresh } = query;
        if (known.has(host) && !fresh) return known.get(host);
        if (known.size >= HOSTS_MAX && !known.has(host)) return undefined;
        const found = await ask(query);
        known.set(host, found);
        return found;
      }),
  };
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
