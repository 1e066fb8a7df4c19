import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { ConnectRouter } from "@connectrpc/connect";
import {
  type ImageFilter,
  type Image as ImageMessage,
  ImageSchema,
  ImageService,
  type PodSandboxConfig,
} from "../../gen/runtime/v1/api_pb.js";
import { answer, rpcError } from "../services/index.js";
import type { CriImage } from "./contract.js";
import { type FsInfoOptions, fsInfo } from "./fs-info.js";
import { requestCredential } from "./image-credential.js";
import type { ServedImages } from "./images.js";

export interface ImageServiceOptions extends FsInfoOptions {
  readonly images: ServedImages;
}

/** Images of one answer of a stream. */
const STREAMED_MAX = 100;
/** Where older clients say for which runtime an image is pulled. */
const HANDLER_ANNOTATION = "io.containerd.cri.runtime-handler";

/** `runtime.v1.ImageService`. */
export function imageService(options: ImageServiceOptions): (router: ConnectRouter) => void {
  const { images } = options;
  const listed = async (filter: ImageFilter | undefined): Promise<ImageMessage[]> =>
    (await images.list({ reference: filter?.image?.image })).map(imageMessage);
  return (router) => {
    router.service(ImageService, {
      listImages: ({ filter }) => answer(async () => ({ images: await listed(filter) })),
      async *streamImages({ filter }) {
        try {
          const all = await listed(filter);
          for (let from = 0; from < all.length; from += STREAMED_MAX) {
            yield { images: all.slice(from, from + STREAMED_MAX) };
          }
        } catch (thrown) {
          throw rpcError(thrown);
        }
      },
      imageStatus: ({ image, verbose }) =>
        answer(async () => {
          const found = await images.find(image?.image ?? "");
          if (found === undefined) return {};
          return { image: imageMessage(found), info: verbose ? await verboseInfo(images, found) : {} };
        }),
      pullImage: ({ image, auth, sandboxConfig }, { signal }) =>
        answer(async () => {
          const imageRef = await images.pull({
            reference: image?.image ?? "",
            runtimeHandler: image?.runtimeHandler || handlerOf(sandboxConfig),
            credential: requestCredential(auth),
            serverAddress: auth?.serverAddress,
            signal,
          });
          return { imageRef };
        }),
      removeImage: ({ image }, { signal }) =>
        answer(async () => {
          await images.remove(image?.image ?? "", { signal });
          return {};
        }),
      imageFsInfo: () => answer(async () => fsInfo(options)),
    });
  };
}

function handlerOf(config: PodSandboxConfig | undefined): string {
  return config?.annotations[HANDLER_ANNOTATION] ?? "";
}

/** The user's name or number, as the kubelet wants it for `runAsNonRoot`. */
export function imageUser({
  user,
}: CriImage["config"]): Pick<MessageInitShape<typeof ImageSchema>, "uid" | "username"> {
  const name = user.split(":")[0]!;
  return /^[+-]?\d{1,18}$/.test(name)
    ? { uid: { value: BigInt(name.replace(/^\+/, "")) } }
    : { username: name };
}

function imageMessage(image: CriImage): ImageMessage {
  return create(ImageSchema, {
    id: image.id,
    repoTags: [...image.repoTags],
    repoDigests: [...image.repoDigests],
    size: BigInt(image.sizeBytes),
    ...imageUser(image.config),
    pinned: image.isPinned,
  });
}

async function verboseInfo(images: ServedImages, image: CriImage): Promise<Record<string, string>> {
  const imageSpec = await images.specification(image);
  return { info: JSON.stringify({ chainID: image.chainId, imageSpec }) };
}
