import type { MessageInitShape } from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import {
  WriteAction,
  type WriteContentRequest,
  type WriteContentResponseSchema,
} from "../../gen/containerd/services/content/v1/content_pb.js";
import { type Digest, parseDigest } from "../bytes/index.js";
import type { ContentStore, IngestWriter } from "../content/index.js";
import { alreadyExists, invalidArgument, LazuliError, outOfRange } from "../errors/index.js";
import { log } from "../observe/index.js";
import { closedWithCall } from "./call-end.js";
import { rpcError } from "./rpc-error.js";
import { timestampOf } from "./snapshot-messages.js";

type WriteAnswer = MessageInitShape<typeof WriteContentResponseSchema>;

/**
 * One Write stream: the first message opens the ingest and takes its lock, each message has one answer, COMMIT is the
 * last. However the stream ends, the lock is let go before the client sees the end, and what has arrived is kept.
 */
export async function* writeContent(
  storeOf: () => ContentStore,
  requests: AsyncIterable<WriteContentRequest>,
  { signal }: HandlerContext,
): AsyncIterable<WriteAnswer> {
  let close: (() => Promise<void>) | undefined;
  let session: WriteSession | undefined;
  try {
    for await (const request of requests) {
      if (session === undefined) {
        const opened = await WriteSession.open(storeOf(), request, signal);
        session = opened;
        close = closedWithCall(signal, async () => await opened.close());
      }
      const written = await session.answer(request);
      // The lock goes before the last answer: a client may open the ref again as soon as it has that.
      if (request.action === WriteAction.COMMIT) await close?.();
      yield written;
      if (request.action === WriteAction.COMMIT) return;
    }
    if (session === undefined) throw refMissing();
  } catch (thrown) {
    throw rpcError(thrown);
  } finally {
    await close?.();
  }
}

class WriteSession {
  readonly #store: ContentStore;
  readonly #writer: IngestWriter;
  #total: number;
  #expected: Digest | undefined;
  /** The message that is being answered: a writer must not be closed below it. */
  #busy: Promise<unknown> = Promise.resolve();

  private constructor(options: {
    readonly store: ContentStore;
    readonly writer: IngestWriter;
    readonly total: number;
    readonly expected: Digest | undefined;
  }) {
    this.#store = options.store;
    this.#writer = options.writer;
    this.#total = options.total;
    this.#expected = options.expected;
  }

  static async open(
    store: ContentStore,
    request: WriteContentRequest,
    signal: AbortSignal,
  ): Promise<WriteSession> {
    if (request.ref === "") throw refMissing();
    const total = Number(request.total);
    const expected = request.expected === "" ? undefined : parseDigest(request.expected);
    const writer = await store.writer({ ref: request.ref, total, expected, signal });
    return new WriteSession({ store, writer, total, expected });
  }

  async answer(request: WriteContentRequest): Promise<WriteAnswer> {
    const work = this.#answer(request);
    this.#busy = work.catch(() => undefined);
    return await work;
  }

  async close(): Promise<void> {
    await this.#busy;
    await this.#writer.close();
  }

  async #answer(request: WriteContentRequest): Promise<WriteAnswer> {
    const { action } = request;
    if (request.expected !== "") await this.#expect(request.expected);
    if (request.total > 0n) this.#total = Number(request.total);
    const status = this.#writer.status();
    if (action === WriteAction.STAT) {
      return {
        action,
        offset: BigInt(status.offset),
        digest: this.#writer.digest(),
        startedAt: timestampOf(status.startedAt),
        updatedAt: timestampOf(status.updatedAt),
        total: BigInt(this.#total),
      };
    }
    if (action !== WriteAction.WRITE && action !== WriteAction.COMMIT) {
      return { action, offset: BigInt(status.offset) };
    }
    const offset = await this.#append(request, status.offset);
    const digest = action === WriteAction.COMMIT ? await this.#commit(request) : this.#writer.digest();
    return { action, offset: BigInt(offset), digest };
  }

  /** Returns the offset after the message's bytes. An offset of 0 begins anew. */
  async #append({ offset, data }: WriteContentRequest, current: number): Promise<number> {
    if (offset > 0n && Number(offset) !== current) {
      throw outOfRange(`write @${offset} must occur at current offset ${current}`, {
        subject: this.#writer.ref,
        reason: "write-offset",
      });
    }
    let start = current;
    if (offset === 0n && current > 0) {
      await this.#writer.truncate(0);
      start = 0;
    }
    if (data.length > 0) await this.#writer.write(data);
    return start + data.length;
  }

  async #commit({ labels }: WriteContentRequest): Promise<Digest> {
    return await this.#writer.commit({ size: this.#total, expected: this.#expected, labels });
  }

  /** Ends the ingest of a blob that has come in another way meanwhile. */
  async #expect(text: string): Promise<void> {
    const expected = parseDigest(text);
    this.#expected = expected;
    if (!(await this.#isStored(expected))) return;
    await this.#writer.close();
    await this.#store.abort(this.#writer.ref).catch((error: unknown) => {
      log.warn("An ingest whose blob exists could not be aborted", {
        ref: this.#writer.ref,
        error: String(error),
      });
    });
    throw alreadyExists(`blob with expected digest ${expected} exists`, {
      subject: expected,
      reason: "blob-exists",
    });
  }

  async #isStored(digest: Digest): Promise<boolean> {
    try {
      await this.#store.info(digest);
      return true;
    } catch (thrown) {
      if (LazuliError.from(thrown).code === "NOT_FOUND") return false;
      throw thrown;
    }
  }
}

function refMissing(): Error {
  return invalidArgument("first message must have a reference", { reason: "ref-missing" });
}
