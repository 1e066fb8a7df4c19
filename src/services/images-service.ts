import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError, type ConnectRouter, type HandlerContext } from "@connectrpc/connect";
import {
  ImageCreateSchema,
  ImageDeleteSchema,
  ImageUpdateSchema,
} from "../../gen/containerd/events/image_pb.js";
import { type Image, type ImageSchema, Images } from "../../gen/containerd/services/images/v1/images_pb.js";
import type { Descriptor } from "../../gen/containerd/types/descriptor_pb.js";
import { type EventExchange, packedEvent } from "../events/index.js";
import type { ImageRow, ImageTable } from "../metadata/index.js";
import type { CollectionTrigger } from "./collection-trigger.js";
import { requestContext } from "./request-context.js";
import { answer } from "./rpc-error.js";
import { timestampOf } from "./snapshot-messages.js";

export interface ImagesServiceOptions {
  readonly images: ImageTable;
  readonly collection: CollectionTrigger;
  readonly events: EventExchange;
}

/** `containerd.services.images.v1`. */
export function imagesService(options: ImagesServiceOptions): (router: ConnectRouter) => void {
  const { images, collection, events } = options;
  const of = ({ requestHeader }: HandlerContext): string => requestContext(requestHeader).namespace;
  return (router) => {
    router.service(Images, {
      get: ({ name }, context) =>
        answer(async () => ({ image: imageMessage(images.get({ namespace: of(context), name })) })),
      list: ({ filters }, context) =>
        answer(async () => ({
          images: images.list({ namespace: of(context), filters }).map(imageMessage),
        })),
      create: ({ image }, context) =>
        answer(async () => {
          const { name, labels, target } = requireNamed(image);
          const namespace = of(context);
          const row = await images.create({ namespace, name, labels, target: targetOf(target) });
          const event = packedEvent(ImageCreateSchema, { name: row.name, labels: { ...row.labels } });
          events.publish({ namespace, topic: "/images/create", event });
          return { image: imageMessage(row) };
        }),
      update: ({ image, updateMask }, context) =>
        answer(async () => {
          const { name, labels, target } = requireNamed(image);
          const namespace = of(context);
          const fieldPaths = updateMask?.paths ?? [];
          const row = await images.update({ namespace, name, labels, target: targetOf(target), fieldPaths });
          const event = packedEvent(ImageUpdateSchema, { name: row.name, labels: { ...row.labels } });
          events.publish({ namespace, topic: "/images/update", event });
          return { image: imageMessage(row) };
        }),
      delete: ({ name, sync, target }, context) =>
        answer(async () => {
          const namespace = of(context);
          await images.delete({
            namespace,
            name,
            target: target === undefined ? undefined : target.digest,
          });
          const event = packedEvent(ImageDeleteSchema, { name });
          events.publish({ namespace, topic: "/images/delete", event });
          if (sync) await collection.scheduleAndWait({ signal: context.signal });
          return {};
        }),
    });
  };
}

/** containerd sends this one without the ending that its other errors have. */
function requireNamed(image: Image | undefined): Image {
  if (image === undefined || image.name === "") {
    throw new ConnectError("Image.Name required", Code.InvalidArgument);
  }
  return image;
}

/** What the client sent; the table checks it. */
function targetOf(target: Descriptor | undefined) {
  return {
    mediaType: target?.mediaType ?? "",
    digest: target?.digest ?? "",
    size: Number(target?.size ?? 0n),
    annotations: target?.annotations ?? {},
  };
}

function imageMessage(row: ImageRow): MessageInitShape<typeof ImageSchema> {
  const { mediaType, digest, size, annotations } = row.target;
  return {
    name: row.name,
    labels: { ...row.labels },
    target: { mediaType, digest, size: BigInt(size), annotations: { ...annotations } },
    createdAt: timestampOf(row.createdAt),
    updatedAt: timestampOf(row.updatedAt),
  };
}
