import { LazuliError } from "../errors/index.js";
import { log } from "../observe/index.js";
import type { TracingSettings } from "./tracing-settings.js";

export type SpanFact = string | number | bigint | boolean | undefined;

/** A span that has ended, with ids in hex and times in nanoseconds since 1970. */
export interface EndedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string | undefined;
  readonly name: string;
  readonly isServer: boolean;
  readonly startNanoseconds: bigint;
  readonly endNanoseconds: bigint;
  readonly isFailed: boolean;
  readonly facts: Readonly<Record<string, SpanFact>>;
}

/** Spans of one request. */
const BATCH_MAX = 512;
/** Spans that wait for a receiver; beyond it new ones are dropped, and counted in the log. */
const QUEUE_MAX = 2048;
const SPAN_KIND_INTERNAL = 1;
const SPAN_KIND_SERVER = 2;
const STATUS_ERROR = 2;

/** Sends spans as OTLP over HTTP with JSON (opentelemetry.io/docs/specs/otlp), in batches. */
export class OtlpExporter implements AsyncDisposable {
  readonly #settings: TracingSettings;
  readonly #version: string;
  readonly #queue: EndedSpan[] = [];
  readonly #timer: NodeJS.Timeout;
  #sending: Promise<void> | undefined;
  #dropped = 0;
  #isReached = true;

  constructor(settings: TracingSettings, version: string) {
    this.#settings = settings;
    this.#version = version;
    this.#timer = setInterval(() => void this.#flush(), settings.delayMs);
    this.#timer.unref();
  }

  add(span: EndedSpan): void {
    if (this.#queue.length >= QUEUE_MAX) {
      this.#dropped += 1;
      return;
    }
    this.#queue.push(span);
    if (this.#queue.length >= BATCH_MAX) void this.#flush();
  }

  /** Sends what waits, and stops. */
  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    await this.#flush();
    await this.#flush();
  }

  /** Never throws. One request at a time; who comes while one is under way waits for it. */
  async #flush(): Promise<void> {
    this.#sending ??= this.#send().finally(() => {
      this.#sending = undefined;
    });
    await this.#sending;
  }

  async #send(): Promise<void> {
    while (this.#queue.length > 0) {
      const spans = this.#queue.splice(0, BATCH_MAX);
      try {
        await this.#post(spans);
        if (!this.#isReached) log.info("Spans are taken again", { endpoint: this.#settings.url });
        this.#isReached = true;
      } catch (thrown) {
        this.#dropped += spans.length;
        if (this.#isReached) {
          const { message } = LazuliError.from(thrown);
          log.warn("Cannot send spans", {
            endpoint: this.#settings.url,
            error: message,
            dropped: this.#dropped,
          });
        }
        this.#isReached = false;
        return;
      }
    }
  }

  async #post(spans: readonly EndedSpan[]): Promise<void> {
    const { url, headers, timeoutMs, resource } = this.#settings;
    const body = JSON.stringify({
      resourceSpans: [
        {
          resource: { attributes: attributesOf(resource) },
          scopeSpans: [{ scope: { name: "lazuli", version: this.#version }, spans: spans.map(spanMessage) }],
        },
      ],
    });
    const response = await fetch(url, {
      method: "POST",
      headers: { ...headers, "content-type": "application/json" },
      body,
      signal: AbortSignal.timeout(timeoutMs),
    });
    await response.arrayBuffer();
    if (!response.ok) throw new Error(`HTTP status ${response.status}`);
  }
}

function spanMessage(span: EndedSpan): object {
  const { traceId, spanId, parentSpanId, name } = span;
  return {
    traceId,
    spanId,
    ...(parentSpanId === undefined ? {} : { parentSpanId }),
    name,
    kind: span.isServer ? SPAN_KIND_SERVER : SPAN_KIND_INTERNAL,
    startTimeUnixNano: String(span.startNanoseconds),
    endTimeUnixNano: String(span.endNanoseconds),
    attributes: attributesOf(span.facts),
    status: span.isFailed ? { code: STATUS_ERROR } : {},
  };
}

function attributesOf(facts: Readonly<Record<string, SpanFact>>): object[] {
  return Object.entries(facts)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => ({ key, value: attributeValue(value) }));
}

function attributeValue(value: SpanFact): object {
  if (typeof value === "boolean") return { boolValue: value };
  if (typeof value === "bigint" || Number.isInteger(value)) return { intValue: String(value) };
  if (typeof value === "number") return { doubleValue: value };
  return { stringValue: String(value) };
}
