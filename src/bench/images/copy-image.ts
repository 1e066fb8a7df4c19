import { notFound } from "../../errors/index.js";
import { type Manifest, parseManifest, parseManifestOrIndex } from "../../oci/index.js";
import type { ImageDocument, ImageSource, ImageTarget } from "../../transfer/index.js";

interface CopyOptions {
  readonly source: ImageSource;
  readonly target: ImageTarget;
  readonly signal: AbortSignal;
}

/** This machine's image of a source, byte for byte. @throws NOT_FOUND `platform-missing` */
export async function copyImage({ source, target, signal }: CopyOptions): Promise<void> {
  const document = await ownManifest(source, signal);
  const manifest: Manifest = parseManifest(document.bytes);
  for (const { digest, size } of [manifest.config, ...manifest.layers]) {
    await target.pushBlob({
      digest,
      size,
      open: async function* () {
        const blob = await source.openBlob({ digest, size }, { signal });
        yield* blob.readRange({ offset: 0, length: size, signal });
      },
      signal,
    });
  }
  const { bytes, digest } = document;
  const mediaType = manifest.mediaType;
  await target.pushManifest({ bytes, digest, mediaType, signal });
  const size = bytes.length;
  await target.name({ digest, mediaType, size, annotations: {}, platform: undefined }, { signal });
}

async function ownManifest(source: ImageSource, signal: AbortSignal): Promise<ImageDocument> {
  const root = await source.root({ signal });
  const parsed = parseManifestOrIndex(root.bytes, { contentType: root.mediaType });
  if (parsed.kind !== "index") return root;
  const architecture = process.arch === "x64" ? "amd64" : process.arch;
  const found = parsed.manifests.find(
    ({ platform }) => platform?.os === "linux" && platform.architecture === architecture,
  );
  if (found !== undefined) return await source.document(found, { signal });
  throw notFound(`Cannot copy ${source.description}: it has no image for linux/${architecture}`, {
    subject: source.description,
    reason: "platform-missing",
  });
}
