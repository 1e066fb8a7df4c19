import { hostname } from "node:os";
import { log } from "../observe/index.js";

/** What the variables of OpenTelemetry say (opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables). */
export interface TracingSettings {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  /** Between two requests. */
  readonly delayMs: number;
  readonly resource: Readonly<Record<string, string>>;
  /** Part of the traces that begin here and are kept, from 0 to 1. */
  readonly ratio: number;
  /** Whether a caller that has decided on its trace has decided for us. */
  readonly followsParent: boolean;
}

type Environment = Readonly<Record<string, string | undefined>>;

const TIMEOUT_MS = 10_000;
const DELAY_MS = 5000;
/** The specification's address of a collector on this machine. */
const ENDPOINT = "http://localhost:4318";

/** Undefined where nobody asked for traces, or asked for what there is not, which is told. */
export function tracingSettings(environment: Environment): TracingSettings | undefined {
  const whole = environment.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT;
  const base = environment.OTEL_EXPORTER_OTLP_ENDPOINT;
  const exporter = environment.OTEL_TRACES_EXPORTER || (whole || base ? "otlp" : "none");
  if (environment.OTEL_SDK_DISABLED?.toLowerCase() === "true" || exporter === "none") return undefined;
  const protocol =
    environment.OTEL_EXPORTER_OTLP_TRACES_PROTOCOL ||
    environment.OTEL_EXPORTER_OTLP_PROTOCOL ||
    "http/protobuf";
  const url = whole || `${(base || ENDPOINT).replace(/\/+$/, "")}/v1/traces`;
  if (exporter !== "otlp" || !protocol.startsWith("http/") || !/^https?:\/\//.test(url)) {
    log.warn("Cannot send traces: want OTLP over HTTP", { exporter, protocol, endpoint: url });
    return undefined;
  }
  // Nobody who leaves the protocol open has asked for protobuf.
  const isAsked = environment.OTEL_EXPORTER_OTLP_TRACES_PROTOCOL || environment.OTEL_EXPORTER_OTLP_PROTOCOL;
  if (isAsked && protocol === "http/protobuf") {
    log.warn("Traces are sent as http/json, not as http/protobuf: collectors take both on the same address", {
      endpoint: url,
    });
  }
  const sampler = environment.OTEL_TRACES_SAMPLER || "parentbased_always_on";
  return {
    url,
    headers: {
      ...pairs(environment.OTEL_EXPORTER_OTLP_HEADERS),
      ...pairs(environment.OTEL_EXPORTER_OTLP_TRACES_HEADERS),
    },
    timeoutMs: milliseconds(environment.OTEL_EXPORTER_OTLP_TIMEOUT, TIMEOUT_MS),
    delayMs: milliseconds(environment.OTEL_BSP_SCHEDULE_DELAY, DELAY_MS),
    resource: {
      "host.name": hostname(),
      "process.pid": String(process.pid),
      ...pairs(environment.OTEL_RESOURCE_ATTRIBUTES),
      "service.name": environment.OTEL_SERVICE_NAME || "lazuli",
    },
    ratio: ratioOf(sampler, environment.OTEL_TRACES_SAMPLER_ARG),
    followsParent: sampler.startsWith("parentbased_"),
  };
}

function ratioOf(sampler: string, argument: string | undefined): number {
  if (sampler.endsWith("always_off")) return 0;
  if (!sampler.endsWith("traceidratio") || argument === undefined || argument === "") return 1;
  const ratio = Number(argument);
  return ratio >= 0 && ratio <= 1 ? ratio : 1;
}

/** `a=1,b=2`, with percent signs as in URLs. What can't be read is left out. */
function pairs(text: string | undefined): Record<string, string> {
  const found: Record<string, string> = {};
  for (const [, key, value] of (text ?? "").matchAll(/\s*([^=,\s]+)\s*=\s*([^,]*)/g)) {
    try {
      found[key!] = decodeURIComponent(value!.trim());
    } catch {
      // A stray percent sign: the value is taken as it stands.
      found[key!] = value!.trim();
    }
  }
  return found;
}

function milliseconds(text: string | undefined, initial: number): number {
  const value = Number(text || initial);
  return Number.isInteger(value) && value > 0 && value < 2 ** 31 ? value : initial;
}
