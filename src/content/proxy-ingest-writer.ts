import {
  WriteAction,
  type WriteContentResponse,
} from "../../gen/containerd/services/content/v1/content_pb.js";
import { type Digest, parseDigest } from "../bytes/index.js";
import { dataLoss, failedPrecondition, invalidArgument } from "../errors/index.js";
import type { CommitIngest, IngestStatus, IngestWriter, OpenIngest } from "./contract.js";
import type { ProxyConnection } from "./proxy-connection.js";
import { bytesFrom, nanosecondsFrom } from "./proxy-messages.js";
import { WriteStream } from "./proxy-write-stream.js";

/** Bytes of one message. */
const MESSAGE_DATA_BYTES = 1024 * 1024;
/** Messages of one write that wait for their answers; the next waits for the first of them. */
const UNDER_WAY_MAX = 4;

/** @throws what `ContentStore.writer` throws; UNAVAILABLE also when the service is away */
export async function openProxyWriter(
  connection: ProxyConnection,
  request: OpenIngest,
): Promise<IngestWriter> {
  const { ref, total, expected, signal } = request;
  signal?.throwIfAborted();
  if (ref === "") {
    throw invalidArgument("Cannot open an ingest: want a ref, got none", { reason: "ref-missing" });
  }
  const stream = new WriteStream({ connection, ref, signal });
  try {
    const answer = await stream.exchange({
      action: WriteAction.STAT,
      ref,
      total: BigInt(total),
      expected: expected ?? "",
    });
    const { addedLabels } = connection;
    return new ProxyIngestWriter({
      stream,
      status: { ...statusOf(answer), ref, expected },
      answer,
      addedLabels,
    });
  } catch (thrown) {
    await stream.end();
    throw thrown;
  }
}

interface ProxyIngestWriterOptions {
  readonly stream: WriteStream;
  readonly status: IngestStatus;
  /** To the first message. */
  readonly answer: WriteContentResponse;
  readonly addedLabels: Readonly<Record<string, string>>;
}

/** The client's end of a Write stream. What it says of itself is what the service said last. */
class ProxyIngestWriter implements IngestWriter {
  readonly ref: string;
  readonly #stream: WriteStream;
  readonly #addedLabels: Readonly<Record<string, string>>;
  #status: IngestStatus;
  #digest: Digest;
  #isClosed = false;

  constructor({ stream, status, answer, addedLabels }: ProxyIngestWriterOptions) {
    this.ref = status.ref;
    this.#stream = stream;
    this.#status = status;
    this.#addedLabels = addedLabels;
    this.#digest = parseDigest(answer.digest);
  }

  get offset(): number {
    return this.#status.offset;
  }

  status(): IngestStatus {
    return this.#status;
  }

  digest(): Digest {
    return this.#digest;
  }

  async write(bytes: Uint8Array): Promise<void> {
    this.#requireOpen();
    if (bytes.length === 0) return;
    const start = this.offset;
    const underWay: Promise<WriteContentResponse>[] = [];
    for (let sent = 0; sent < bytes.length; sent += MESSAGE_DATA_BYTES) {
      const data = bytes.subarray(sent, sent + MESSAGE_DATA_BYTES);
      underWay.push(this.#send({ action: WriteAction.WRITE, offset: BigInt(start + sent), data }));
      if (underWay.length >= UNDER_WAY_MAX) await underWay.shift();
    }
    // Answers to WRITE have no times; this one goes along without a wait of its own.
    const stat = this.#send({ action: WriteAction.STAT });
    await Promise.all(underWay);
    this.#take(await stat);
    if (this.offset !== start + bytes.length) {
      throw dataLoss(`Cannot write a blob: want offset ${start + bytes.length}, got ${this.offset}`, {
        subject: this.ref,
        reason: "write-short",
      });
    }
  }

  async truncate(size: number): Promise<void> {
    this.#requireOpen();
    if (size !== 0) {
      throw invalidArgument(`Cannot truncate an ingest: want size 0, got ${size}`, {
        subject: this.ref,
        reason: "truncate-size",
      });
    }
    // A write of nothing at 0 is how the service is told.
    const written = this.#send({ action: WriteAction.WRITE, offset: 0n });
    const stat = this.#send({ action: WriteAction.STAT });
    await written;
    this.#take(await stat);
  }

  async commit({ size, expected, labels }: CommitIngest): Promise<Digest> {
    this.#requireOpen();
    try {
      const answer = await this.#send({
        action: WriteAction.COMMIT,
        total: BigInt(size),
        offset: BigInt(this.offset),
        expected: expected ?? "",
        labels: { ...labels, ...this.#addedLabels },
      });
      const actual = parseDigest(answer.digest);
      this.#digest = actual;
      this.#check(answer, { size, expected, actual });
      return actual;
    } finally {
      await this.close();
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#stream.end();
  }

  #check(
    answer: WriteContentResponse,
    { size, expected, actual }: { size: number; expected: Digest | undefined; actual: Digest },
  ): void {
    const isSize = size === 0 || Number(answer.offset) === size;
    if (isSize && (expected === undefined || expected === actual)) return;
    throw dataLoss(
      `Cannot commit a blob: want ${size} bytes of ${expected ?? "any digest"}, got ${answer.offset} of ${actual}`,
      { subject: this.ref, reason: "commit-differs" },
    );
  }

  #send(request: Parameters<WriteStream["exchange"]>[0]): Promise<WriteContentResponse> {
    const answer = this.#stream.exchange(request);
    // Answers are awaited in order: the one that is awaited first has the error of all.
    answer.catch(() => undefined);
    return answer;
  }

  #take(answer: WriteContentResponse): void {
    this.#status = { ...statusOf(answer), ref: this.ref, expected: this.#status.expected };
    this.#digest = parseDigest(answer.digest);
  }

  #requireOpen(): void {
    if (!this.#isClosed) return;
    throw failedPrecondition("Cannot use an ingest: want an open writer, got a closed one", {
      subject: this.ref,
      reason: "writer-closed",
    });
  }
}

function statusOf(answer: WriteContentResponse): Omit<IngestStatus, "ref" | "expected"> {
  return {
    offset: bytesFrom(answer.offset),
    total: bytesFrom(answer.total),
    startedAt: nanosecondsFrom(answer.startedAt),
    updatedAt: nanosecondsFrom(answer.updatedAt),
  };
}
