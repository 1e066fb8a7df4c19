import { parentPort } from "node:worker_threads";
import { type ErrorCode, LazuliError } from "../errors/index.js";
import type { FileMapAnswer, FileMapQuery } from "./file-map-contract.js";
import { mapFiles } from "./map-files.js";

export type FileMapReply =
  | { readonly ok: true; readonly answer: FileMapAnswer }
  | {
      readonly ok: false;
      readonly code: ErrorCode;
      readonly message: string;
      readonly reason: string | undefined;
    };

function reply(query: FileMapQuery): FileMapReply {
  try {
    return { ok: true, answer: mapFiles(query) };
  } catch (thrown) {
    const { code, message, reason } = LazuliError.from(thrown);
    return { ok: false, code, message, reason };
  }
}

// The caller sends one at a time.
parentPort?.on("message", (query: FileMapQuery) => parentPort?.postMessage(reply(query)));
