import { ImageCreateSchema, ImageUpdateSchema } from "../../gen/containerd/events/image_pb.js";
import { invalidArgument, notFound } from "../errors/index.js";
import { packedEvent } from "../events/index.js";
import type { ImageRequest, ImageRow } from "../metadata/index.js";
import type { Descriptor } from "../oci/index.js";
import { prefixedName } from "./image-names.js";
import type { ExtraReference, ImageStoreWish, TransferParts } from "./transfer-contract.js";
import { hasCode } from "./transfer-errors.js";
import { rfc3339 } from "./transfer-lease.js";

type Parts = Pick<TransferParts, "images" | "events" | "now">;

export const IMAGE_NAME_ANNOTATION = "io.containerd.image.name";
export const REF_NAME_ANNOTATION = "org.opencontainers.image.ref.name";
/** On a manifest of an imported index: it is named by its own annotations. */
export const REF_SOURCE_ANNOTATION = "io.containerd.import.ref-source";

export interface StoreImage {
  readonly namespace: string;
  readonly wish: ImageStoreWish;
  readonly target: Descriptor;
}

/** Names a target in the image store, replacing what has the name. @throws NOT_FOUND when no name results */
export async function storeImages(parts: Parts, request: StoreImage): Promise<readonly ImageRow[]> {
  const { [REF_SOURCE_ANNOTATION]: source, ...annotations } = request.target.annotations;
  if (source !== undefined && source !== "annotation") {
    throw invalidArgument("ref source not supported", { reason: "ref-source" });
  }
  const named = { ...request, target: { ...request.target, annotations } };
  const names = source === undefined ? givenNames(parts, named) : annotatedNames(parts, named);
  if (names.length === 0) throw notFound("no image name found", { reason: "image-name-missing" });
  const { mediaType, digest, size } = request.target;
  const target = { mediaType, digest, size, annotations };
  const rows: ImageRow[] = [];
  for (const one of names) rows.push(await put(parts, { namespace: request.namespace, ...one, target }));
  return rows;
}

interface Named {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
}

function givenNames(parts: Parts, { wish, target }: StoreImage): readonly Named[] {
  const own = wish.name === "" ? [] : [{ name: wish.name, labels: wish.labels }];
  const extra = wish.extraReferences
    .filter(({ isPrefix, addDigest }) => !isPrefix || addDigest)
    .map((reference) => ({
      name: reference.addDigest ? `${reference.name}@${target.digest}` : reference.name,
      labels: extraLabels(parts, wish),
    }));
  return [...own, ...extra];
}

function annotatedNames(parts: Parts, { wish, target }: StoreImage): readonly Named[] {
  const labels = extraLabels(parts, wish);
  return wish.extraReferences
    .filter(({ isPrefix }) => isPrefix)
    .flatMap((reference) => {
      const name = annotatedName(target.annotations, reference);
      const digested = `${reference.name}@${target.digest}`;
      const isDigested = reference.addDigest && (name === "" || !reference.skipNamedDigest);
      return [...(name === "" ? [] : [name]), ...(isDigested ? [digested] : [])];
    })
    .map((name) => ({ name, labels }));
}

function annotatedName(annotations: Readonly<Record<string, string>>, reference: ExtraReference): string {
  const { name: prefix, allowOverwrite } = reference;
  const full = annotations[IMAGE_NAME_ANNOTATION] ?? "";
  // A full name is taken as it is or not at all.
  if (full !== "") return prefixedName(prefix, { name: full, allowOverwrite }) === full ? full : "";
  const tag = annotations[REF_NAME_ANNOTATION] ?? "";
  return tag === "" ? "" : prefixedName(prefix, { name: tag, allowOverwrite });
}

/** Further names live as long as the image's own name. */
function extraLabels({ now }: Parts, { name, labels }: ImageStoreWish): Readonly<Record<string, string>> {
  if (name === "") return labels;
  return {
    ...labels,
    "containerd.io/gc.bref.image": name,
    "containerd.io/gc.expire": rfc3339(now()),
  };
}

async function put({ images, events }: Parts, request: ImageRequest): Promise<ImageRow> {
  const { namespace } = request;
  for (;;) {
    try {
      const row = await images.create(request);
      const event = packedEvent(ImageCreateSchema, { name: row.name, labels: { ...row.labels } });
      events.publish({ namespace, topic: "/images/create", event });
      return row;
    } catch (thrown) {
      if (!hasCode(thrown, "ALREADY_EXISTS")) throw thrown;
    }
    try {
      const row = await images.update({ ...request, fieldPaths: [] });
      const event = packedEvent(ImageUpdateSchema, { name: row.name, labels: { ...row.labels } });
      events.publish({ namespace, topic: "/images/update", event });
      return row;
    } catch (thrown) {
      // Deleted meanwhile: it is made anew.
      if (!hasCode(thrown, "NOT_FOUND")) throw thrown;
    }
  }
}
