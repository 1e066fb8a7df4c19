import { AsyncLocalStorage } from "node:async_hooks";
import { randomBytes } from "node:crypto";
import { ensuredChannel, mountedChannel } from "../layer/index.js";
import { type Channel, type EventFacts, log } from "../observe/index.js";
import { requestChannel } from "../registry/index.js";
import type { CallScope, ObservedCall } from "../services/index.js";
import { fallbackChannel, preparedChannel } from "../snapshotters/index.js";
import { type EndedSpan, OtlpExporter } from "./otlp-exporter.js";
import { type TracingSettings, tracingSettings } from "./tracing-settings.js";

interface OpenSpan {
  readonly traceId: string;
  readonly spanId: string;
}

export interface Tracing extends AsyncDisposable {
  /** For `observeCalls`. */
  readonly observe: (call: ObservedCall) => CallScope;
}

const NANOSECONDS_PER_MS = 1_000_000;

/** Traces of calls, and of what is done for them; undefined where the environment asks for none. */
export function startTracing(
  environment: Readonly<Record<string, string | undefined>>,
  version: string,
): Tracing | undefined {
  const settings = tracingSettings(environment);
  if (settings === undefined) return undefined;
  log.info("Sending traces", { endpoint: settings.url });
  const exporter = new OtlpExporter(settings, version);
  const current = new AsyncLocalStorage<OpenSpan>();
  const steps = recordSteps(current, exporter);
  return {
    observe: (call) => observeCall(call, { settings, exporter, current }),
    [Symbol.asyncDispose]: async () => {
      for (const step of steps) step[Symbol.dispose]();
      await exporter[Symbol.asyncDispose]();
    },
  };
}

interface TracingParts {
  readonly settings: TracingSettings;
  readonly exporter: OtlpExporter;
  readonly current: AsyncLocalStorage<OpenSpan>;
}

const untraced: CallScope = { run: (work) => work(), end: () => undefined };

function observeCall(call: ObservedCall, { settings, exporter, current }: TracingParts): CallScope {
  const parent = parentOf(call.headers);
  if (!isSampled(parent, settings)) return untraced;
  const span = { traceId: parent?.traceId ?? randomBytes(16).toString("hex"), spanId: spanId() };
  const startNanoseconds = now();
  const { service, method, headers } = call;
  return {
    run: (work) => current.run(span, work),
    end: (code) =>
      exporter.add({
        ...span,
        parentSpanId: parent?.spanId,
        name: `${service}/${method}`,
        isServer: true,
        startNanoseconds,
        endNanoseconds: now(),
        isFailed: code !== "OK",
        facts: {
          "rpc.system": "grpc",
          "rpc.service": service,
          "rpc.method": method,
          "rpc.response.status_code": code,
          "containerd.namespace": headers.get("containerd-namespace") ?? undefined,
        },
      }),
  };
}

interface Parent extends OpenSpan {
  readonly isSampled: boolean;
}

/** The caller's span (www.w3.org/TR/trace-context, version 00). */
function parentOf(headers: Headers): Parent | undefined {
  const match = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/.exec(headers.get("traceparent") ?? "");
  if (match === null || /^0+$/.test(match[1]!) || /^0+$/.test(match[2]!)) return undefined;
  return { traceId: match[1]!, spanId: match[2]!, isSampled: (Number.parseInt(match[3]!, 16) & 1) === 1 };
}

function isSampled(parent: Parent | undefined, { ratio, followsParent }: TracingSettings): boolean {
  if (parent !== undefined && followsParent) return parent.isSampled;
  return Math.random() < ratio;
}

/** Steps that the rooms tell of when they have ended are spans of the call that they were made for. */
function recordSteps(current: AsyncLocalStorage<OpenSpan>, exporter: OtlpExporter): Disposable[] {
  const record = <Facts extends EventFacts>(
    source: Channel<Facts>,
    step: { readonly name: string; readonly took: (facts: Facts) => number },
  ): Disposable =>
    source.subscribe((facts) => {
      const parent = current.getStore();
      if (parent === undefined) return;
      const endNanoseconds = now();
      const took = BigInt(Math.round(step.took(facts) * NANOSECONDS_PER_MS));
      const span: EndedSpan = {
        traceId: parent.traceId,
        spanId: spanId(),
        parentSpanId: parent.spanId,
        name: step.name,
        isServer: false,
        startNanoseconds: endNanoseconds - took,
        endNanoseconds,
        isFailed: false,
        facts,
      };
      exporter.add(span);
    });
  return [
    record(requestChannel, { name: "registry request", took: ({ durationMs }) => durationMs }),
    record(ensuredChannel, { name: "layer ensured", took: ({ milliseconds }) => milliseconds }),
    record(mountedChannel, { name: "layer mounted", took: ({ milliseconds }) => milliseconds }),
    record(preparedChannel, { name: "layer is lazy", took: () => 0 }),
    record(fallbackChannel, { name: "layer is not lazy", took: () => 0 }),
  ];
}

function spanId(): string {
  return randomBytes(8).toString("hex");
}

function now(): bigint {
  return BigInt(Math.round((performance.timeOrigin + performance.now()) * 1000)) * 1000n;
}
