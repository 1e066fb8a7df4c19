import type { MessageInitShape } from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import type {
  ReadContentRequest,
  ReadContentResponseSchema,
} from "../../gen/containerd/services/content/v1/content_pb.js";
import { parseDigest } from "../bytes/index.js";
import type { BlobReader, ContentStore } from "../content/index.js";
import { outOfRange } from "../errors/index.js";
import { closedWithCall } from "./call-end.js";
import { rpcError } from "./rpc-error.js";

/** Bytes of one message, as containerd has it. */
const CHUNK_BYTES = 1024 * 1024;

type Chunk = MessageInitShape<typeof ReadContentResponseSchema>;

/**
 * Sends a range of a blob; size 0 means to the end. The offset in a message counts from the first byte sent, as
 * containerd's does.
 */
export async function* readContent(
  store: () => ContentStore,
  request: ReadContentRequest,
  { signal }: HandlerContext,
): AsyncIterable<Chunk> {
  try {
    const reader = await store().open(parseDigest(request.digest), { signal });
    const close = closedWithCall(signal, async () => await reader.close());
    try {
      yield* chunks(reader, request);
    } finally {
      await close();
    }
  } catch (thrown) {
    throw rpcError(thrown);
  }
}

async function* chunks(reader: BlobReader, request: ReadContentRequest): AsyncIterable<Chunk> {
  const start = Math.max(0, Number(request.offset));
  if (start > reader.size) {
    throw outOfRange(`read past object length ${reader.size} bytes`, {
      subject: request.digest,
      reason: "read-past-end",
    });
  }
  const rest = reader.size - start;
  const wanted = request.size <= 0n ? rest : Math.min(Number(request.size), rest);
  const piece = (sent: number): Promise<Uint8Array> =>
    reader.read(start + sent, Math.min(CHUNK_BYTES, wanted - sent));
  let next = wanted > 0 ? piece(0) : undefined;
  for (let sent = 0; next !== undefined; ) {
    const data = await next;
    const offset = sent;
    sent += data.length;
    // The disk works while the message goes out.
    next = sent < wanted && data.length > 0 ? piece(sent) : undefined;
    // Whoever leaves in between leaves nobody to tell.
    next?.catch(() => undefined);
    yield { offset: BigInt(offset), data };
  }
}
