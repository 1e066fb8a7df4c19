import type { MessageInitShape } from "@bufbuild/protobuf";
import { fromBinary } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import { ImageStoreSchema } from "../../gen/containerd/types/transfer/imagestore_pb.js";
import { type Progress, ProgressSchema } from "../../gen/containerd/types/transfer/progress_pb.js";
import {
  AuthRequestSchema,
  type AuthResponseSchema,
  AuthResponseSchema as AuthResponses,
  AuthType,
  OCIRegistrySchema,
} from "../../gen/containerd/types/transfer/registry_pb.js";
import { type Digest, parseDigest } from "../bytes/index.js";
import { type Platform, parseReference } from "../oci/index.js";
import type { Credential, CredentialProvider } from "../registry/index.js";
import type { Connection } from "./connection.js";
import type { Labels, Waiting } from "./messages.js";
import { openNamedStream, packed } from "./named-stream.js";
import type { OnPullEvent } from "./pull-event.js";

export interface PullByServerOptions extends Waiting {
  readonly reference: string;
  readonly platforms: readonly Platform[] | "all";
  readonly unpack:
    | { readonly platform: Platform; readonly snapshotter: { readonly name: string } }
    | undefined;
  readonly hostsFolder: string | undefined;
  readonly isPlainHttp: boolean;
  readonly credentials: readonly CredentialProvider[];
  readonly labels: Labels;
  readonly onEvent: OnPullEvent | undefined;
}

/** The server pulls by itself (containerd's Transfer service) and asks back for credentials. Must run under a lease. */
export async function pullByServer(connection: Connection, options: PullByServerOptions): Promise<void> {
  const { reference, platforms, unpack, signal } = options;
  const reader = new ProgressReader(options.onEvent);
  await using progress = await openNamedStream(connection, {
    prefix: "progress",
    onMessage: (message) => reader.read(message),
    signal,
  });
  await using auth = await openNamedStream(connection, {
    prefix: "auth",
    onMessage: (message, send) =>
      void answerAuth(message, options).then((answer) => send(packed(AuthResponses, answer))),
    signal,
  });
  const source = packed(OCIRegistrySchema, {
    reference,
    resolver: {
      authStream: auth.name,
      hostDir: options.hostsFolder ?? "",
      defaultScheme: options.isPlainHttp ? "http" : "",
    },
  });
  const destination = packed(ImageStoreSchema, {
    name: reference,
    labels: { ...options.labels },
    platforms: platforms === "all" ? [] : platforms.map(platformMessage),
    unpacks:
      unpack === undefined
        ? []
        : [{ platform: platformMessage(unpack.platform), snapshotter: unpack.snapshotter.name }],
  });
  await connection.call(
    { action: `pull ${reference}`, subject: reference, signal },
    async ({ transfer }, call) => {
      await transfer.transfer({ source, destination, options: { progressStream: progress.name } }, call);
    },
  );
}

function platformMessage({ os, architecture, variant }: Platform): {
  os: string;
  architecture: string;
  variant: string;
} {
  return { os, architecture, variant: variant ?? "" };
}

async function answerAuth(
  message: Any,
  { credentials, reference, signal }: PullByServerOptions,
): Promise<MessageInitShape<typeof AuthResponseSchema>> {
  const { host, reference: asked } = fromBinary(AuthRequestSchema, message.value);
  const { repository } = parseReference(asked === "" ? reference : asked);
  for (const provider of credentials) {
    try {
      const found = await provider.find({ host, repository, signal, fresh: false });
      if (found !== undefined) return authMessage(found);
    } catch {
      // The server asks once: the next provider may know, and without an answer it tells what the registry said.
    }
  }
  return { authType: AuthType.NONE };
}

function authMessage(credential: Credential): MessageInitShape<typeof AuthResponseSchema> {
  switch (credential.kind) {
    case "password":
      return {
        authType: AuthType.CREDENTIALS,
        username: credential.username,
        secret: credential.password,
      };
    case "identity-token":
      return { authType: AuthType.REFRESH, secret: credential.identityToken };
    case "registry-token":
      return { authType: AuthType.HEADER, secret: `Bearer ${credential.registryToken}` };
  }
}

/** Turns the server's totals into our steps. */
class ProgressReader {
  readonly #onEvent: OnPullEvent | undefined;
  /** Bytes that were told of each blob. */
  readonly #told = new Map<Digest, number>();

  constructor(onEvent: OnPullEvent | undefined) {
    this.#onEvent = onEvent;
  }

  read(message: Any): void {
    if (this.#onEvent === undefined || message.typeUrl !== ProgressSchema.typeName) return;
    const progress = fromBinary(ProgressSchema, message.value);
    if (progress.desc === undefined || progress.desc.digest === "") return;
    this.#tell(progress, parseDigest(progress.desc.digest), this.#onEvent);
  }

  #tell({ event, progress, desc }: Progress, digest: Digest, onEvent: OnPullEvent): void {
    const told = this.#told.get(digest);
    if (told === undefined) onEvent({ kind: "found", digest, bytes: Number(desc?.size ?? 0n) });
    this.#told.set(digest, told ?? 0);
    if (event === "downloading" && Number(progress) > (told ?? 0)) {
      this.#told.set(digest, Number(progress));
      onEvent({ kind: "bytes", digest, bytes: Number(progress) - (told ?? 0) });
    }
    if (event === "complete") onEvent({ kind: "done", digest });
    if (event === "extracted") onEvent({ kind: "layer", digest, state: "unpacked" });
    if (event === "already exists") onEvent({ kind: "layer", digest, state: "present" });
  }
}
