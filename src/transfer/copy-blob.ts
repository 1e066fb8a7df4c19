import { createHash } from "node:crypto";
import { type Digest, digestAlgorithm } from "../bytes/index.js";
import { dataLoss, resourceExhausted } from "../errors/index.js";
import type { Descriptor } from "../oci/index.js";
import type { PushOutcome } from "../registry/index.js";
import type { ImageSource, ImageTarget, Waiting } from "./contract.js";

export interface Places extends Waiting {
  readonly source: ImageSource;
  readonly target: ImageTarget;
}

/** Brings a blob over as it is; a registry moves it by itself between its repositories. The target checks its digest. */
export async function copyBlob(
  places: Places,
  blob: Pick<Descriptor, "digest" | "size">,
): Promise<PushOutcome> {
  const { source, target, signal } = places;
  const { digest, size } = blob;
  const from = source.repository;
  const isSame = from !== undefined && from.registry === target.repository?.registry;
  return await target.pushBlob({
    digest,
    size,
    open: async function* () {
      const opened = await source.openBlob(blob, { signal });
      yield* opened.readRange({ offset: 0, length: size, signal });
    },
    ...(isSame ? { mountFrom: from.repository } : {}),
    signal,
  });
}

export async function pushBytes(
  target: ImageTarget,
  blob: { readonly bytes: Buffer; readonly digest: Digest },
  { signal }: Waiting,
): Promise<PushOutcome> {
  const { bytes, digest } = blob;
  return await target.pushBlob({
    digest,
    size: bytes.length,
    open: async function* () {
      yield bytes;
    },
    signal,
  });
}

/** A short blob as a whole, verified. @throws RESOURCE_EXHAUSTED `blob-too-large`, DATA_LOSS `digest-mismatch` */
export async function readBlob(
  source: ImageSource,
  blob: Pick<Descriptor, "digest" | "size">,
  options: Waiting & { readonly bytesMax: number },
): Promise<Buffer> {
  const { digest, size } = blob;
  if (size > options.bytesMax) {
    throw resourceExhausted(`Cannot read ${digest}: want at most ${options.bytesMax} bytes, got ${size}`, {
      subject: digest,
      reason: "blob-too-large",
    });
  }
  const opened = await source.openBlob(blob, options);
  const pieces: Buffer[] = [];
  for await (const piece of opened.readRange({ offset: 0, length: size, signal: options.signal }))
    pieces.push(piece);
  const bytes = Buffer.concat(pieces);
  const algorithm = digestAlgorithm(digest);
  const actual = `${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}`;
  if (actual === digest) return bytes;
  throw dataLoss(`Cannot read ${digest}: its bytes have the digest ${actual}`, {
    subject: digest,
    reason: "digest-mismatch",
  });
}
