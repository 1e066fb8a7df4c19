import type { StartTrace } from "./contract.js";

/** What a trace amounts to. Sizes in bytes of decoded data, `requestedBytes` in bytes of blobs. */
export interface TraceFigures {
  readonly touches: number;
  readonly touchedBytes: number;
  /** Touches whose bytes were here when the read came, and their bytes. */
  readonly localTouches: number;
  readonly localBytes: number;
  /** Sum over all touches: reads that waited at the same time count each. */
  readonly waitedMs: number;
  /** Time in which at least one read waited. */
  readonly stalledMs: number;
  readonly requests: number;
  readonly requestedBytes: number;
  readonly failedRequests: number;
}

export function traceFigures({ touches, requests }: StartTrace): TraceFigures {
  const local = touches.filter(({ waitedMs }) => waitedMs === 0);
  return {
    touches: touches.length,
    touchedBytes: sum(touches.map(({ length }) => length)),
    localTouches: local.length,
    localBytes: sum(local.map(({ length }) => length)),
    waitedMs: sum(touches.map(({ waitedMs }) => waitedMs)),
    stalledMs: unionMs(touches.map(({ atMs, waitedMs }) => ({ from: atMs, to: atMs + waitedMs }))),
    requests: requests.length,
    requestedBytes: sum(requests.map(({ length }) => length)),
    failedRequests: requests.filter(({ hasFailed }) => hasFailed).length,
  };
}

function sum(values: readonly number[]): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}

function unionMs(spans: readonly { readonly from: number; readonly to: number }[]): number {
  let total = 0;
  let end = 0;
  for (const { from, to } of [...spans].sort((left, right) => left.from - right.from)) {
    total += Math.max(0, to - Math.max(from, end));
    end = Math.max(end, to);
  }
  return total;
}
