import type { ConnectRouter } from "@connectrpc/connect";
import { Traces } from "../../gen/lazuli/v1/traces_pb.js";
import { notFound } from "../errors/index.js";
import type { StartRecorder } from "../layer/index.js";
import { encodeTrace, type TraceStore, type TraceSummary } from "../traces/index.js";
import { answer, rpcError } from "./rpc-error.js";

export interface TracesServiceOptions {
  readonly store: TraceStore;
  readonly recorder: Pick<StartRecorder, "ready">;
}

/** Bytes of one message. */
const PIECE_BYTES = 1 << 20;

/** `lazuli.v1.Traces`: what starts read, and the end of one's recording. */
export function tracesService({ store, recorder }: TracesServiceOptions): (router: ConnectRouter) => void {
  return (router) => {
    router.service(Traces, {
      list: ({ reference }) =>
        answer(async () => ({
          traces: store.list(reference === "" ? {} : { reference }).map(summaryMessage),
        })),
      read: ({ id }) => pieces(store, id),
      traceReady: ({ key }) =>
        answer(async () => {
          const ids = await recorder.ready(key);
          if (ids !== undefined) return { ids: [...ids] };
          throw notFound(`No start of "${key.slice(0, 200)}" is being recorded`, {
            subject: key,
            reason: "trace-not-running",
          });
        }),
    });
  };
}

async function* pieces(store: TraceStore, id: string): AsyncIterable<{ data: Uint8Array }> {
  let bytes: Buffer;
  try {
    bytes = encodeTrace(await store.read(id));
  } catch (thrown) {
    throw rpcError(thrown);
  }
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
    yield { data: bytes.subarray(at, Math.min(bytes.length, at + PIECE_BYTES)) };
  }
}

function summaryMessage({ figures, manifest, command, ...facts }: TraceSummary) {
  const { failedRequests: _, ...counts } = figures;
  return { ...facts, ...counts, manifest: manifest ?? "", command: [...(command ?? [])] };
}
