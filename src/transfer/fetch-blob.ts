import type { ContentStore, IngestWriter } from "../content/index.js";
import { invalidArgument } from "../errors/index.js";
import { type Descriptor, isIndexType, isManifestType, makeReference, parseReference } from "../oci/index.js";
import type { BlobSource, Registry } from "../registry/index.js";
import type { Waiting } from "./contract.js";
import { openWriter } from "./open-writer.js";
import { refKey } from "./stored-image.js";
import { hasCode, inContext } from "./transfer-errors.js";

export interface FetchBlob extends Waiting {
  readonly store: ContentStore;
  readonly registry: Registry;
  /** Of any image of the repository. */
  readonly reference: string;
  readonly descriptor: Descriptor;
  /** The bytes, where the caller has them; verified like any others. */
  readonly known?: Uint8Array | undefined;
  readonly moved: (offset: number) => void;
}

/** Bytes of one range: what a broken request costs at most where the registry can't resume. */
const RANGE_BYTES = 32 * 1024 * 1024;
/** Times that a blob is fetched whole, when what came has another digest. */
const FETCHES_MAX = 2;

/**
 * Brings a blob into the store, going on with what an earlier try has brought. What has come stays when the registry
 * fails, and goes when it was wrong. @returns `exists` where nothing had to be fetched @throws FAILED_PRECONDITION for
 * another digest or size, and what the registry throws
 */
export async function fetchBlob(fetch: FetchBlob): Promise<"fetched" | "exists"> {
  const { store, descriptor, signal } = fetch;
  if (descriptor.size === 0) {
    throw invalidArgument(
      `unable to fetch descriptor (${descriptor.digest}) which reports content size of zero`,
      { subject: descriptor.digest, reason: "blob-empty" },
    );
  }
  const ref = refKey(descriptor);
  let source: BlobSource | undefined;
  for (let attempt = 1; ; attempt += 1) {
    const { digest: expected, size: total } = descriptor;
    const writer = await openWriter(store, { ref, total, expected, signal });
    if (writer === undefined) return "exists";
    try {
      if (writer.offset > descriptor.size) await writer.truncate(0);
      const isWhole = writer.offset === descriptor.size;
      if (!isWhole) source = await fill(writer, fetch, source);
      await writer.commit({ size: descriptor.size, expected: descriptor.digest, labels: {} });
      return isWhole ? "exists" : "fetched";
    } catch (thrown) {
      await writer.close();
      signal?.throwIfAborted();
      if (hasCode(thrown, "ALREADY_EXISTS")) return "exists";
      if (!hasCode(thrown, "FAILED_PRECONDITION")) throw thrown;
      // Which part of it is wrong can't be told, so nothing of it is kept.
      await store.abort(ref);
      source?.distrust({ offset: 0, length: descriptor.size });
      if (attempt >= FETCHES_MAX) throw inContext(`failed commit on ref ${JSON.stringify(ref)}`, thrown);
    }
  }
}

async function fill(
  writer: IngestWriter,
  fetch: FetchBlob,
  opened: BlobSource | undefined,
): Promise<BlobSource | undefined> {
  const { registry, reference, descriptor, known, signal, moved } = fetch;
  const { digest, size, mediaType } = descriptor;
  if (isManifestType(mediaType) || isIndexType(mediaType)) {
    const byDigest = makeReference({ ...parseReference(reference), tag: undefined, digest }).toString();
    const bytes = known ?? (await registry.fetchManifest({ reference: byDigest, signal })).bytes;
    if (writer.offset > 0) await writer.truncate(0);
    // The writer takes the buffer as its own.
    await writer.write(Uint8Array.from(bytes));
    moved(writer.offset);
    return undefined;
  }
  const source = opened ?? (await registry.openBlob({ reference, digest, size, signal }));
  while (writer.offset < size) {
    const { offset } = writer;
    const length = Math.min(RANGE_BYTES, size - offset);
    for await (const piece of source.readRange({ offset, length, signal })) {
      await writer.write(piece);
      moved(writer.offset);
    }
  }
  return source;
}
