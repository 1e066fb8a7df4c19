import type { Any } from "@bufbuild/protobuf/wkt";
import type { ConnectRouter, HandlerContext } from "@connectrpc/connect";
import { Transfer, type TransferRequest } from "../../gen/containerd/services/transfer/v1/transfer_pb.js";
import { ImageStoreSchema } from "../../gen/containerd/types/transfer/imagestore_pb.js";
import {
  ImageExportStreamSchema,
  ImageImportStreamSchema,
} from "../../gen/containerd/types/transfer/importexport_pb.js";
import { ProgressSchema } from "../../gen/containerd/types/transfer/progress_pb.js";
import { type OCIRegistry, OCIRegistrySchema } from "../../gen/containerd/types/transfer/registry_pb.js";
import { linkSignals } from "../async/index.js";
import { invalidArgument, LazuliError, unimplemented } from "../errors/index.js";
import {
  type ObjectStream,
  objectType,
  packedObject,
  receiveBytes,
  type StreamRegistry,
  sendBytes,
  unpackedObject,
} from "../streaming/index.js";
import {
  type ExportWish,
  type ImageStoreWish,
  type RegistryAccess,
  streamCredentials,
  type TransferCall,
  type Transferrer,
} from "../transfer/index.js";
import { requestContext } from "./request-context.js";
import { answer } from "./rpc-error.js";
import { exportWishOf, imageStoreOf, progressMessage } from "./transfer-messages.js";

export interface TransferServiceOptions {
  readonly transferrer: Transferrer;
  readonly streams: StreamRegistry;
}

/** Longest wait for a client to take the last of its progress. */
const FLUSH_TIMEOUT_MS = 2000;

/** `containerd.services.transfer.v1`. */
export function transferService(options: TransferServiceOptions): (router: ConnectRouter) => void {
  return (router) => {
    router.service(Transfer, {
      transfer: (request, context) =>
        answer(async () => {
          await using call = new OneTransfer(options, context);
          await call.run(request);
          return {};
        }),
    });
  };
}

type Place =
  | { readonly kind: "registry"; readonly access: RegistryAccess }
  | { readonly kind: "store"; readonly wish: ImageStoreWish }
  | { readonly kind: "import"; readonly stream: ObjectStream; readonly forceCompress: boolean }
  | { readonly kind: "export"; readonly stream: ObjectStream; readonly wish: ExportWish };

/** One call, with the streams that it uses: they end with it. */
class OneTransfer implements AsyncDisposable {
  readonly #options: TransferServiceOptions;
  readonly #call: TransferCall;
  readonly #streams: ObjectStream[] = [];
  #progress: ObjectStream | undefined;

  constructor(options: TransferServiceOptions, { requestHeader, signal }: HandlerContext) {
    this.#options = options;
    const { namespace, lease } = requestContext(requestHeader);
    this.#call = { namespace, lease, signal };
  }

  async run({ source, destination, options }: TransferRequest): Promise<void> {
    const { transferrer } = this.#options;
    if (options !== undefined && options.progressStream !== "") {
      this.#progress = this.#stream(options.progressStream);
    }
    const from = this.#place(source);
    const to = this.#place(destination);
    const call = this.#reported();
    if (from.kind === "registry" && to.kind === "store") {
      await transferrer.pull(call, { access: from.access, store: to.wish });
    } else if (from.kind === "store" && to.kind === "registry") {
      await transferrer.push(call, { access: to.access, store: from.wish });
    } else if (from.kind === "store" && to.kind === "store") {
      await transferrer.tag(call, { from: from.wish, to: to.wish });
    } else if (from.kind === "store" && to.kind === "export") {
      const { stream, wish } = to;
      const write = async (archive: AsyncIterable<Uint8Array>): Promise<void> =>
        await sendBytes({ stream, source: archive, signal: call.signal });
      await transferrer.exportImages(call, { store: from.wish, wish, write });
    } else if (from.kind === "import" && to.kind === "store") {
      const bytes = receiveBytes(from.stream, { signal: call.signal });
      await transferrer.importImages(call, { bytes, forceCompress: from.forceCompress, store: to.wish });
    } else if (from.kind === "import" && to.kind === "export") {
      const archive = receiveBytes(from.stream, { signal: call.signal });
      await sendBytes({ stream: to.stream, source: archive, signal: call.signal });
    } else {
      throw unimplemented(
        `method Transfer not implemented for ${source?.typeUrl} to ${destination?.typeUrl}`,
        { reason: "transfer-pair" },
      );
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const progress = this.#progress;
    if (progress !== undefined) {
      using limit = linkSignals([this.#call.signal], FLUSH_TIMEOUT_MS);
      // A client that takes no progress has its answer all the same.
      await progress.flush({ signal: limit.signal }).catch(() => undefined);
    }
    for (const stream of this.#streams) stream.close();
  }

  #reported(): TransferCall {
    const progress = this.#progress;
    if (progress === undefined) return this.#call;
    return {
      ...this.#call,
      report: (event) => void progress.offer(packedObject(ProgressSchema, progressMessage(event))),
    };
  }

  #stream(id: string): ObjectStream {
    const stream = this.#options.streams.get({ namespace: this.#call.namespace, id });
    this.#streams.push(stream);
    return stream;
  }

  #place(object: Any | undefined): Place {
    const type = object === undefined ? "" : objectType(object);
    switch (object === undefined ? undefined : type) {
      case OCIRegistrySchema.typeName:
        return { kind: "registry", access: this.#access(unpackedObject(OCIRegistrySchema, object!)) };
      case ImageStoreSchema.typeName:
        return { kind: "store", wish: imageStoreOf(unpackedObject(ImageStoreSchema, object!)) };
      case ImageImportStreamSchema.typeName: {
        const { stream, forceCompress } = unpackedObject(ImageImportStreamSchema, object!);
        return { kind: "import", stream: this.#stream(stream), forceCompress };
      }
      case ImageExportStreamSchema.typeName: {
        const message = unpackedObject(ImageExportStreamSchema, object!);
        return { kind: "export", stream: this.#stream(message.stream), wish: exportWishOf(message) };
      }
      default:
        throw new LazuliError("NOT_FOUND", `type with url ${type.slice(0, 200)}`, {
          reason: "transfer-type-unknown",
        });
    }
  }

  #access({ reference, resolver }: OCIRegistry): RegistryAccess {
    const {
      authStream = "",
      headers = {},
      hostDir = "",
      defaultScheme = "",
      logsStream = "",
    } = resolver ?? {};
    if (!["", "http", "https"].includes(defaultScheme)) {
      throw invalidArgument(`Cannot use scheme ${JSON.stringify(defaultScheme)}: want http or https`, {
        reason: "scheme-unknown",
      });
    }
    // Requests are logged by the daemon; the client's stream ends without a line.
    if (logsStream !== "") this.#stream(logsStream);
    const credentials =
      authStream === "" ? undefined : streamCredentials({ stream: this.#stream(authStream), reference });
    return {
      reference,
      credentials,
      headers,
      hostsFolder: hostDir === "" ? undefined : hostDir,
      defaultScheme: defaultScheme === "" ? undefined : (defaultScheme as "http" | "https"),
    };
  }
}
