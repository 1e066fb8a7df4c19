import { invalidArgument, notFound } from "../errors/index.js";
import { type Descriptor, mediaTypes } from "../oci/index.js";

const NAME_ANNOTATION = "org.opencontainers.image.ref.name";

/** The file `oci-layout` (image-spec image-layout.md). */
export const LAYOUT_MARK = '{"imageLayoutVersion":"1.0.0"}\n';

/** The file `index.json` of a layout with one more name, which may stand for something else in `kept`. */
export function layoutIndex(
  kept: readonly Descriptor[],
  name: string | undefined,
  root: Pick<Descriptor, "mediaType" | "digest" | "size" | "platform">,
): string {
  const { mediaType, digest, size, platform } = root;
  const entry = {
    mediaType,
    digest,
    size,
    ...(platform === undefined ? {} : { platform }),
    ...(name === undefined ? {} : { annotations: { [NAME_ANNOTATION]: name } }),
  };
  const others = kept.filter((one) => one.annotations[NAME_ANNOTATION] !== name);
  const index = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [...others, entry] };
  return `${JSON.stringify(index)}\n`;
}

/** The entry of an index that a name means; without a name the only one. @throws NOT_FOUND, INVALID_ARGUMENT */
export function chosenEntry(
  entries: readonly Descriptor[],
  wanted: { readonly name: string | undefined; readonly folder: string },
): Descriptor {
  const { name, folder } = wanted;
  const named = entries.filter((entry) => name === undefined || entry.annotations[NAME_ANNOTATION] === name);
  const names = entries.map((entry) => entry.annotations[NAME_ANNOTATION]).filter((one) => one !== undefined);
  if (named.length === 1) return named[0]!;
  if (named.length === 0) {
    throw notFound(`Cannot find ${name ?? "an image"} in ${folder}: it has ${names.join(", ") || "none"}`, {
      subject: folder,
      reason: "image-missing",
    });
  }
  throw invalidArgument(`Cannot choose an image of ${folder}: want a name, it has ${names.join(", ")}`, {
    subject: folder,
    reason: "image-ambiguous",
    hint: "Write the name behind the path: oci:<folder>:<name>",
  });
}
