import { create, fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { AnySchema } from "@bufbuild/protobuf/wkt";
import { Diff } from "../../gen/containerd/services/diff/v1/diff_pb.js";
import { type Descriptor, DescriptorSchema } from "../../gen/containerd/types/descriptor_pb.js";
import { parseDigest } from "../bytes/index.js";
import { LazuliError } from "../errors/index.js";
import type { MountSpec } from "../mounts/index.js";
import { ProxyConnection, type ProxyConnectionOptions } from "../snapshotters/index.js";
import type { ApplyLayer, CompareTrees, LayerDescriptor, LayerDiffer } from "./contract.js";

const NANOSECONDS = 1_000_000_000n;

/**
 * A client of someone else's differ. It takes blobs from a content store by their digests, and puts the layers that it
 * makes there: the other side has to have the same one. Errors have the codes and texts of the other side.
 */
export function createProxyDiffer(
  options: Omit<ProxyConnectionOptions, "kind">,
): LayerDiffer & { close(): Promise<void> } {
  const connection = new ProxyConnection({ ...options, kind: "differ" });
  const client = connection.client(Diff);
  return {
    apply: async ({ layer, mounts, payloads = {}, syncFs, signal }: ApplyLayer) => {
      const call = { action: "unpack a layer", subject: layer.digest, signal };
      const message = {
        diff: descriptorMessage(layer),
        mounts: mountMessages(mounts),
        payloads: Object.fromEntries(
          Object.entries(payloads).map(([name, bytes]) => [name, fromBinary(AnySchema, bytes)]),
        ),
        syncFs,
      };
      return await connection.call(call, async (callOptions) =>
        descriptorFrom((await client.apply(message, callOptions)).applied),
      );
    },
    compare: async (request: CompareTrees) => {
      const { lower, upper, mediaType, ref, labels, sourceDateEpoch: epoch, signal } = request;
      const message = {
        left: mountMessages(lower),
        right: mountMessages(upper),
        mediaType,
        ref,
        labels: { ...labels },
        ...(epoch === undefined
          ? {}
          : { sourceDateEpoch: { seconds: epoch / NANOSECONDS, nanos: Number(epoch % NANOSECONDS) } }),
      };
      const call = { action: "compare trees", subject: ref, signal };
      const made = await connection.call(call, async (callOptions) =>
        descriptorFrom((await client.diff(message, callOptions)).diff),
      );
      await adopt(made, request);
      return made;
    },
    close: async () => connection[Symbol.dispose](),
  };
}

/** Where the other side writes to the store below ours, the layer is not yet the caller's. */
async function adopt({ digest, size }: LayerDescriptor, request: CompareTrees): Promise<void> {
  const { content, ref, labels, signal } = request;
  try {
    await content.info(digest);
    return;
  } catch (thrown) {
    if (LazuliError.from(thrown).code !== "NOT_FOUND") throw thrown;
  }
  const writer = await content.writer({
    ref: ref === "" ? `adopt-${digest}` : ref,
    total: size,
    expected: digest,
    signal,
  });
  try {
    await writer.commit({ size, expected: digest, labels });
  } finally {
    await writer.close();
  }
}

function mountMessages(mounts: readonly MountSpec[]) {
  return mounts.map(({ type, source, target, options }) => ({ type, source, target, options: [...options] }));
}

function descriptorMessage(layer: LayerDescriptor): MessageInitShape<typeof DescriptorSchema> {
  const { mediaType, digest, size, annotations } = layer;
  return { mediaType, digest, size: BigInt(size), annotations: { ...annotations } };
}

function descriptorFrom(message: Descriptor | undefined): LayerDescriptor {
  const { mediaType, digest, size, annotations } = message ?? create(DescriptorSchema);
  return { mediaType, digest: parseDigest(digest), size: Number(size), annotations };
}
