import { delay } from "../async/index.js";
import { type Digest, sha256 } from "../bytes/index.js";
import type { ContentStore, IngestWriter } from "../content/index.js";
import { LazuliError } from "../errors/index.js";
import { MANIFEST_BYTES_MAX, parseManifestOrIndex } from "../oci/index.js";
import type { BlobSource, PushBlob, PushOutcome } from "../registry/index.js";
import type { ImageSource, ImageTarget } from "../transfer/index.js";
import type { Labels, Target, Waiting } from "./messages.js";
import { readSmallBlob } from "./read-image.js";

const PIECE_BYTES = 1024 * 1024;
/** Another client writes the same blob: we wait for it, ten minutes at most. */
const LOCK_WAITS_MAX = 600;
const LOCK_WAIT_MS = 1000;

/** An image in a server's content store, for reading. Blobs that a lazy pull left away are fetched by the server. */
export function contentSource(content: ContentStore, image: { name: string; target: Target }): ImageSource {
  const document: ImageSource["document"] = async ({ digest }, { signal } = {}) => {
    const bytes = await readSmallBlob(content, digest, { maxBytes: MANIFEST_BYTES_MAX, signal });
    return { bytes, digest, mediaType: digest === image.target.digest ? image.target.mediaType : "" };
  };
  return {
    description: image.name,
    repository: undefined,
    root: async (options) => await document(image.target, options),
    document,
    openBlob: async ({ digest, size }) => contentBlob(content, { digest, size, description: image.name }),
    referrers: async () => [],
    [Symbol.asyncDispose]: async () => undefined,
  };
}

function contentBlob(
  content: ContentStore,
  blob: { readonly digest: Digest; readonly size: number; readonly description: string },
): BlobSource {
  return {
    ...blob,
    readRange: async function* ({ offset, length, signal }) {
      await using reader = await content.open(blob.digest, { signal });
      for (let done = 0; done < length; ) {
        signal?.throwIfAborted();
        const piece = await reader.read(offset + done, Math.min(PIECE_BYTES, length - done));
        if (piece.length === 0) return;
        done += piece.length;
        yield Buffer.from(piece.buffer, piece.byteOffset, piece.length);
      }
    },
    distrust: () => undefined,
  };
}

export interface ContentTargetOptions {
  readonly content: ContentStore;
  readonly name: string;
  /** On each blob: where it came from. */
  readonly labels: Labels;
  /** Gives the image its name, as the last step. */
  readonly onName: (target: Target, waiting: Waiting) => Promise<void>;
  readonly onBytes?: ((digest: Digest, bytes: number) => void) | undefined;
}

/** A server's content store, for writing an image: with the labels that keep its blobs, as containerd's client sets them. */
export function contentTarget(options: ContentTargetOptions): ImageTarget {
  const { content, labels } = options;
  return {
    description: options.name,
    repository: undefined,
    hasBlob: async ({ digest }) => await hasBlob(content, digest),
    pushBlob: async (blob) => await writeBlob(options, blob, labels),
    pushManifest: async ({ bytes, digest, signal }) => {
      const open = async function* (): AsyncIterable<Uint8Array> {
        yield bytes;
      };
      const own = { ...labels, ...childLabels(bytes) };
      const outcome = await writeBlob(options, { digest, size: bytes.length, open, signal }, own);
      if (outcome === "pushed") return;
      const fieldPaths = Object.keys(own).map((key) => `labels.${key}`);
      await content.update({ digest, labels: own, fieldPaths });
    },
    name: async (root, { signal } = {}) => await options.onName(root, { signal }),
    [Symbol.asyncDispose]: async () => undefined,
  };
}

async function hasBlob(content: ContentStore, digest: Digest): Promise<boolean> {
  try {
    await content.info(digest);
    return true;
  } catch (thrown) {
    if (thrown instanceof LazuliError && thrown.code === "NOT_FOUND") return false;
    throw thrown;
  }
}

async function writeBlob(
  { content, onBytes }: ContentTargetOptions,
  blob: PushBlob,
  labels: Labels,
): Promise<PushOutcome> {
  const { digest, size, signal } = blob;
  if (await hasBlob(content, digest)) return "present";
  const writer = await openWriter(content, blob);
  if (writer === undefined) return "present";
  try {
    // What an earlier run has brought is not sent again.
    let skip = writer.offset;
    onBytes?.(digest, skip);
    if (skip < size) {
      for await (const piece of blob.open()) {
        signal?.throwIfAborted();
        const fresh = piece.subarray(Math.min(skip, piece.length));
        skip -= piece.length - fresh.length;
        if (fresh.length === 0) continue;
        await writer.write(Uint8Array.from(fresh));
        onBytes?.(digest, fresh.length);
      }
    }
    await writer.commit({ size, expected: digest, labels });
    return "pushed";
  } catch (thrown) {
    if (thrown instanceof LazuliError && thrown.code === "ALREADY_EXISTS") return "present";
    throw thrown;
  } finally {
    await writer.close();
  }
}

/** Undefined when the blob is there by now. */
async function openWriter(
  content: ContentStore,
  { digest, size, signal }: PushBlob,
): Promise<IngestWriter | undefined> {
  for (let wait = 0; ; wait += 1) {
    try {
      const ref = `blob-${digest}`;
      return await content.writer({ ref, total: size, expected: digest, signal });
    } catch (thrown) {
      if (!(thrown instanceof LazuliError)) throw thrown;
      if (thrown.code === "ALREADY_EXISTS") return undefined;
      const isLocked = thrown.code === "UNAVAILABLE" && thrown.reason === "content-service-unavailable";
      if (!isLocked || wait === LOCK_WAITS_MAX) throw thrown;
      await delay(LOCK_WAIT_MS, { signal });
    }
  }
}

/** `containerd.io/gc.ref.content.*`: what a manifest or index keeps from being collected. */
function childLabels(bytes: Uint8Array): Labels {
  const document = parseManifestOrIndex(bytes);
  const numbered = (letter: string, children: readonly { readonly digest: Digest }[]): Labels =>
    Object.fromEntries(
      children.map(({ digest }, at) => [`containerd.io/gc.ref.content.${letter}.${at}`, digest]),
    );
  if (document.kind === "index") return numbered("m", document.manifests);
  return {
    "containerd.io/gc.ref.content.config": document.config.digest,
    ...numbered("l", document.layers),
  };
}

export function descriptorOfBytes(mediaType: string, bytes: Buffer): Target {
  return { mediaType, digest: sha256(bytes), size: bytes.length };
}
