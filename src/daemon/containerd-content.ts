import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { Content, type Info } from "../../gen/containerd/services/content/v1/content_pb.js";
import { Images } from "../../gen/containerd/services/images/v1/images_pb.js";
import { type Digest, digestAlgorithm, parseDigest, sha256 } from "../bytes/index.js";
import {
  dataLoss,
  deadlineExceeded,
  LazuliError,
  notFound,
  resourceExhausted,
  unavailable,
} from "../errors/index.js";
import { grpcOverSocket } from "../grpc/index.js";
import type { ContentReader, NamedImage, StoredManifest } from "./host-content.js";
import { splitSource } from "./image-sources.js";

/** containerd marks a manifest's config by this label when it has read the manifest. */
const CONFIG_LABEL = "containerd.io/gc.ref.content.config";
const MANIFEST_LABEL = "containerd.io/gc.ref.content.m.";

/** Blobs of one listing that are looked at; a larger store is cut there, and what lies behind is not found. */
const LISTED_MAX = 20_000;
/** Images of one repository whose index is asked for the manifest. */
const NAMES_MAX = 16;

/** Reads one containerd's content store over its socket. Connects at the first use, and again after a break. */
export function containerdContent(options: { readonly address: string }): ContentReader & Disposable {
  const connection = grpcOverSocket(options.address);
  const content = createClient(Content, connection.transport);
  const images = createClient(Images, connection.transport);
  const at = (request: { readonly namespace: string; readonly signal: AbortSignal }) => ({
    headers: { "containerd-namespace": request.namespace },
    signal: request.signal,
  });

  return {
    manifests: async (request) =>
      await translated(options.address, async () => {
        const found: StoredManifest[] = [];
        for await (const { info } of content.list({ filters: [`labels."${CONFIG_LABEL}"`] }, at(request))) {
          for (const one of info) if (found.length < LISTED_MAX) found.push(storedManifest(one));
        }
        found.sort((left, right) => Number(right.createdAtNanoseconds - left.createdAtNanoseconds));
        return found.slice(0, request.countMax);
      }),

    read: async (request) =>
      await translated(options.address, async () => {
        const pieces: Buffer[] = [];
        let size = 0;
        for await (const { data } of content.read({ digest: request.digest }, at(request))) {
          size += data.length;
          if (size > request.sizeMax) throw tooLarge(request.digest, request.sizeMax);
          pieces.push(Buffer.from(data));
        }
        return verified(Buffer.concat(pieces), request.digest);
      }),

    has: async (request) =>
      await translated(options.address, async () => {
        try {
          const { info } = await content.info({ digest: request.digest }, at(request));
          // Our own store tells of blobs too that it would have to fetch: they were made at no time.
          return (
            info?.createdAt !== undefined && (info.createdAt.seconds !== 0n || info.createdAt.nanos !== 0)
          );
        } catch (thrown) {
          if (ConnectError.from(thrown).code === Code.NotFound) return false;
          throw thrown;
        }
      }),

    images: async (request) =>
      await translated(options.address, async () => {
        const { host, repository, hasPort } = splitSource(request.source);
        const pattern = `^${escapeRegExp(host)}${hasPort ? "" : "(:[0-9]+)?"}/${escapeRegExp(repository)}[:@]`;
        const list = await images.list({ filters: [`name~="${pattern}"`] }, at(request));
        const found: NamedImage[] = [];
        for (const { name, target } of list.images.slice(0, NAMES_MAX)) {
          if (target === undefined) continue;
          let isSame = target.digest === request.manifestDigest;
          if (!isSame) {
            const { info } = await content.info({ digest: target.digest }, at(request));
            isSame = pointsAt(info?.labels ?? {}, request.manifestDigest);
          }
          found.push({ name, isSame });
        }
        return found;
      }),

    [Symbol.dispose]: () => connection[Symbol.dispose](),
  };
}

function storedManifest(info: Info): StoredManifest {
  const { seconds, nanos } = info.createdAt ?? { seconds: 0n, nanos: 0 };
  return {
    digest: parseDigest(info.digest),
    createdAtNanoseconds: seconds * 1_000_000_000n + BigInt(nanos),
    labels: info.labels,
  };
}

/** Whether the labels of an index name this manifest as one of its children. */
function pointsAt(labels: Readonly<Record<string, string>>, manifestDigest: Digest): boolean {
  return Object.entries(labels).some(
    ([label, value]) => label.startsWith(MANIFEST_LABEL) && value === manifestDigest,
  );
}

function verified(bytes: Buffer, digest: Digest): Buffer {
  // containerd makes sha256 names; another algorithm has no reader here, so it is no layer that we could serve.
  const actual = digestAlgorithm(digest) === "sha256" ? sha256(bytes) : undefined;
  if (actual === digest) return bytes;
  throw dataLoss(
    `Cannot use a blob of containerd: want digest ${digest}, got ${actual ?? "another algorithm"}`,
    {
      subject: digest,
      reason: "digest-mismatch",
    },
  );
}

function tooLarge(digest: Digest, sizeMax: number): LazuliError {
  return resourceExhausted(`Cannot read a blob of containerd: want at most ${sizeMax} bytes, got more`, {
    subject: digest,
    reason: "blob-too-large",
  });
}

function escapeRegExp(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\\\$&");
}

async function translated<T>(address: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    if (thrown instanceof LazuliError) throw thrown;
    const { code, rawMessage } = ConnectError.from(thrown);
    const options = { subject: address, cause: thrown };
    const message = `Cannot ask containerd at ${address}: ${rawMessage}`;
    if (code === Code.NotFound) throw notFound(message, { ...options, reason: "content-missing" });
    if (code === Code.DeadlineExceeded || code === Code.Canceled) {
      throw deadlineExceeded(message, { ...options, reason: "containerd-slow" });
    }
    throw unavailable(message, {
      ...options,
      reason: "containerd-unavailable",
      hint: "Check that containerd runs and that [containerd] address names its socket",
    });
  }
}
