import { parentPort } from "node:worker_threads";
import { type ErrorCode, LazuliError } from "../errors/index.js";
import { compileIndex } from "./compile-index.js";
import { type CompileInput, REHEARSE } from "./compile-input.js";
import type { LayerOwner } from "./contract.js";
import type { PrefetchHint } from "./layer-record.js";
import { rehearseCompile } from "./rehearse-compile.js";

/** What the worker answers: the files of the layer, or why there are none. */
export type CompileReply =
  | {
      readonly ok: true;
      readonly units: Uint8Array;
      readonly windows: Uint8Array;
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

async function reply(input: CompileInput): Promise<CompileReply> {
  try {
    const { units, ...rest } = await compileIndex(input);
    return { ok: true, units: units.buffer, ...rest };
  } catch (thrown) {
    const error = LazuliError.from(thrown);
    return { ok: false, code: error.code, message: error.message, reason: error.reason, hint: error.hint };
  }
}

let wasUsed = false;
// The caller sends one at a time.
parentPort?.on("message", (input: CompileInput | typeof REHEARSE) => {
  if (input === REHEARSE) {
    void rehearseCompile({ isWanted: () => !wasUsed });
    return;
  }
  wasUsed = true;
  void reply(input).then((answer) => parentPort?.postMessage(answer));
});
