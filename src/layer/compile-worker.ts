import { parentPort } from "node:worker_threads";
import { writeErofs } from "../erofs/index.js";
import { type ErrorCode, LazuliError } from "../errors/index.js";
import { compileToc } from "../estargz/index.js";
import { encodeUnitTable } from "../units/index.js";
import type { LayerOwner } from "./contract.js";
import type { PrefetchHint } from "./layer-record.js";

/** What the worker is given. */
export interface CompileRequest {
  readonly toc: Uint8Array;
  readonly blobSize: number;
  readonly payloadEnd: number;
}

/** What it answers: the files of the layer, or why there are none. */
export type CompileReply =
  | {
      readonly ok: true;
      readonly units: Uint8Array;
      readonly meta: Uint8Array;
      readonly prefetch: PrefetchHint;
      readonly rootOwner: LayerOwner;
    }
  | {
      readonly ok: false;
      readonly code: ErrorCode;
      readonly message: string;
      readonly reason: string | undefined;
      readonly hint: string | undefined;
    };

/** Blocks of the meta image and of the data file, in bytes. */
const BLOCK_SIZE = 4096;

function compile(request: CompileRequest): CompileReply {
  try {
    const compiled = compileToc({
      toc: Buffer.from(request.toc.buffer, request.toc.byteOffset, request.toc.byteLength),
      blobSize: request.blobSize,
      payloadEnd: request.payloadEnd,
      blockSize: BLOCK_SIZE,
    });
    const { dataSize } = compiled;
    const units = encodeUnitTable(compiled.units, {
      dataSize,
      blobSize: request.blobSize,
      blockSize: BLOCK_SIZE,
    });
    const meta = writeErofs({ root: compiled.root, blockSize: BLOCK_SIZE, dataSize });
    return {
      ok: true,
      units: units.buffer,
      meta,
      prefetch: compiled.prefetch,
      rootOwner: { uid: compiled.root.uid, gid: compiled.root.gid },
    };
  } catch (thrown) {
    const error = LazuliError.from(thrown);
    return { ok: false, code: error.code, message: error.message, reason: error.reason, hint: error.hint };
  }
}

parentPort?.on("message", (request: CompileRequest) => parentPort?.postMessage(compile(request)));
