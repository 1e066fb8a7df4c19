import { parentPort } from "node:worker_threads";
import { type BlockSize, writeErofs } from "../erofs/index.js";
import { type ErrorCode, LazuliError } from "../errors/index.js";
import { type CompiledToc, compileToc, type TocDialect } from "../estargz/index.js";
import type { DirectoryNode } from "../tree/index.js";
import { encodeUnitTable, type UnitTable } from "../units/index.js";
import { compileZstdChunked } from "../zstdchunked/index.js";
import type { LayerOwner } from "./contract.js";
import type { PrefetchHint } from "./layer-record.js";

/** What the worker is given. */
export type CompileInput = EstargzInput | ZstdChunkedInput;

export interface EstargzInput {
  readonly format: "estargz";
  readonly toc: Uint8Array;
  readonly blobSize: number;
  readonly payloadEnd: number;
}

export interface ZstdChunkedInput extends Omit<EstargzInput, "format"> {
  readonly format: "zstdchunked";
  readonly dialect: TocDialect;
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

/** Blocks of the meta image and of the data file, in bytes, where the data file is made of files. */
const BLOCK_SIZE = 4096;

interface Compiled {
  readonly root: DirectoryNode;
  readonly units: UnitTable;
  readonly blockSize: BlockSize;
  readonly prefetch: PrefetchHint;
}

function compile(input: CompileInput): CompileReply {
  try {
    const { root, units, blockSize, prefetch } = compiledOf(input);
    const { dataSize } = units;
    return {
      ok: true,
      units: units.buffer,
      meta: writeErofs({ root, blockSize, dataSize }),
      prefetch,
      rootOwner: { uid: root.uid, gid: root.gid },
    };
  } catch (thrown) {
    const error = LazuliError.from(thrown);
    return { ok: false, code: error.code, message: error.message, reason: error.reason, hint: error.hint };
  }
}

function compiledOf(input: CompileInput): Compiled {
  switch (input.format) {
    case "estargz":
      return fromToc(compileToc({ ...input, toc: bufferOf(input.toc), blockSize: BLOCK_SIZE }), input);
    case "zstdchunked":
      return fromToc(
        compileZstdChunked({ ...input, toc: bufferOf(input.toc), blockSize: BLOCK_SIZE }),
        input,
      );
  }
}

function fromToc(compiled: CompiledToc, { blobSize }: CompileInput): Compiled {
  const { root, units, dataSize, prefetch } = compiled;
  return {
    root,
    blockSize: BLOCK_SIZE,
    prefetch,
    units: encodeUnitTable(units, { dataSize, blobSize, blockSize: BLOCK_SIZE }),
  };
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

parentPort?.on("message", (input: CompileInput) => parentPort?.postMessage(compile(input)));
