import { Worker } from "node:worker_threads";
import { dataLoss, LazuliError, resourceExhausted } from "../errors/index.js";
import { UnitTable } from "../units/index.js";
import type { CompileReply, CompileRequest } from "./compile-worker.js";
import type { LayerOwner } from "./contract.js";
import type { PrefetchHint } from "./layer-record.js";
import { COMPILE_HEAP_MIB, COMPILE_TIMEOUT_MS } from "./limits.js";

export interface CompiledLayer {
  readonly units: UnitTable;
  readonly meta: Uint8Array;
  readonly prefetch: PrefetchHint;
  readonly rootOwner: LayerOwner;
}

export interface CompileOptions {
  /** Given away: the caller's copy is empty afterwards. */
  readonly toc: Buffer;
  readonly blobSize: number;
  readonly payloadEnd: number;
  readonly subject: string;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Turns a TOC into a meta image and a unit table, on a thread of its own: a stranger's TOC can neither hold up the
 * process nor use up its memory.
 * @throws RESOURCE_EXHAUSTED when it takes too long or too much memory, what the format throws
 */
export async function compileLayer(options: CompileOptions): Promise<CompiledLayer> {
  options.signal?.throwIfAborted();
  const toc = new Uint8Array(options.toc);
  const request: CompileRequest = { toc, blobSize: options.blobSize, payloadEnd: options.payloadEnd };
  const worker = new Worker(new URL("./compile-worker.js", import.meta.url), {
    workerData: request,
    transferList: [toc.buffer],
    resourceLimits: { maxOldGenerationSizeMb: COMPILE_HEAP_MIB },
    env: {},
  });
  try {
    const reply = await replyOf(worker, options);
    if (!reply.ok) {
      throw new LazuliError(reply.code, reply.message, {
        subject: options.subject,
        ...(reply.reason === undefined ? {} : { reason: reply.reason }),
        ...(reply.hint === undefined ? {} : { hint: reply.hint }),
      });
    }
    const { meta, prefetch, rootOwner } = reply;
    return { units: new UnitTable(bufferOf(reply.units)), meta, prefetch, rootOwner };
  } finally {
    await worker.terminate();
  }
}

async function replyOf(worker: Worker, options: CompileOptions): Promise<CompileReply> {
  const { subject, signal } = options;
  let onAbort: (() => void) | undefined;
  let timer: NodeJS.Timeout | undefined;
  try {
    return await new Promise<CompileReply>((resolve, reject) => {
      const tooMuch = (what: string): Error =>
        resourceExhausted(`Cannot compile the index of layer ${subject}: it ${what}`, {
          subject,
          reason: "index-too-costly",
        });
      timer = setTimeout(
        () => reject(tooMuch(`takes more than ${COMPILE_TIMEOUT_MS} ms`)),
        COMPILE_TIMEOUT_MS,
      );
      onAbort = () => reject(signal?.reason);
      signal?.addEventListener("abort", onAbort, { once: true });
      worker.once("message", (reply: CompileReply) => resolve(reply));
      worker.once("error", (error: NodeJS.ErrnoException) => {
        reject(
          error.code === "ERR_WORKER_OUT_OF_MEMORY"
            ? tooMuch(`needs more than ${COMPILE_HEAP_MIB} MiB`)
            : dataLoss(`Cannot compile the index of layer ${subject}: ${error.message}`, {
                subject,
                reason: "index-compile-failed",
                cause: error,
              }),
        );
      });
      worker.once("exit", () => reject(tooMuch("ended its thread without an answer")));
    });
  } finally {
    clearTimeout(timer);
    if (onAbort !== undefined) signal?.removeEventListener("abort", onAbort);
  }
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
