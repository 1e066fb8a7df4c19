import { isUtf8 } from "node:buffer";
import { resourceExhausted } from "../errors/index.js";
import { type ArraySpan, BATCH_ELEMENTS, type JsonBudget, JsonScanner, jsonInvalid } from "./json-scan.js";

/** A big JSON object without its big array, and that array's elements a batch at a time. */
export interface JsonArrayReader {
  /** The top-level value; under the key of the array it has an empty one. */
  readonly head: unknown;
  readonly count: number;
  /** May be read once. @throws INVALID_ARGUMENT where the text is no JSON */
  readonly batches: Iterable<readonly unknown[]>;
}

/**
 * Parses JSON of strangers within a budget. A key `__proto__` becomes an own property like any other; a key that an
 * object has twice is refused, as readers disagree about which one counts.
 *
 * @throws RESOURCE_EXHAUSTED with reason `json-too-large`, `json-too-deep` or `json-too-many-values`;
 * INVALID_ARGUMENT with reason `json-invalid` or `json-duplicate-key`
 */
export function parseJson(bytes: Uint8Array, budget: JsonBudget): unknown {
  checkBytes(bytes, budget);
  new JsonScanner(bytes, budget).scan();
  return parseText(textOf(bytes, 0, bytes.length));
}

/** As parseJson(), for an object with one array that is too long to have it in memory as values. */
export function readJsonArray(bytes: Uint8Array, key: string, budget: JsonBudget): JsonArrayReader {
  checkBytes(bytes, budget);
  const span = new JsonScanner(bytes, budget, key).scan();
  if (span === undefined) return { head: parseText(textOf(bytes, 0, bytes.length)), count: 0, batches: [] };
  const head = parseText(`${textOf(bytes, 0, span.start)}[]${textOf(bytes, span.end + 1, bytes.length)}`);
  return { head, count: span.count, batches: batchesOf(bytes, span) };
}

function* batchesOf(bytes: Uint8Array, span: ArraySpan): Generator<readonly unknown[]> {
  let start = span.start + 1;
  let left = span.count;
  for (const end of [...span.cuts, span.end]) {
    const batch = parseText(`[${textOf(bytes, start, end)}]`) as readonly unknown[];
    // Text that ends with a comma parses as one element less.
    if (batch.length !== Math.min(left, BATCH_ELEMENTS)) throw jsonInvalid("an array has an empty place");
    yield batch;
    left -= batch.length;
    start = end + 1;
  }
}

function checkBytes(bytes: Uint8Array, budget: JsonBudget): void {
  if (bytes.length > budget.maxBytes) {
    throw resourceExhausted(`Cannot read JSON: want at most ${budget.maxBytes} bytes, got ${bytes.length}`, {
      reason: "json-too-large",
    });
  }
  if (!isUtf8(bytes)) throw jsonInvalid("it is not UTF-8");
}

function textOf(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString("utf8");
}

function parseText(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw jsonInvalid("it breaks the grammar", error);
  }
}
