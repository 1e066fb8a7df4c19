import { type Digest, parseDigest, parseJson } from "../bytes/index.js";
import { dataLoss } from "../errors/index.js";
import {
  type StartTrace,
  type Touch,
  type TracedLayer,
  type TracedRequest,
  type TraceEnd,
  traceEnds,
} from "./contract.js";
import {
  COMMAND_ARGUMENTS_MAX,
  COMMAND_CHARACTERS_MAX,
  REQUESTS_MAX,
  TEXT_CHARACTERS_MAX,
  TOUCHES_MAX,
  TRACE_BYTES_MAX,
  TRACE_MS_MAX,
  TRACED_LAYERS_MAX,
} from "./limits.js";
import { isTraceId } from "./trace-id.js";

/** A touch has 6 values, a request 12, a layer 5, each with its object; the rest is the trace's own. */
const budget = {
  maxBytes: TRACE_BYTES_MAX,
  maxDepth: 3,
  maxNodes: TOUCHES_MAX * 8 + REQUESTS_MAX * 14 + TRACED_LAYERS_MAX * 7 + COMMAND_ARGUMENTS_MAX + 64,
} as const;

const priorities = ["demand", "prefetch", "background"] as const;

/** One line. Times have microseconds, which is what a FUSE read takes. */
export function encodeTrace(trace: StartTrace): Buffer {
  const rounded = (key: string, value: unknown): unknown =>
    typeof value === "number" && key.endsWith("Ms") ? Math.round(value * 1000) / 1000 : value;
  return Buffer.from(`${JSON.stringify(trace, rounded)}\n`);
}

/** Reads a trace that may be damaged or a stranger's: every index, range and time is checked. @throws DATA_LOSS */
export function decodeTrace(bytes: Uint8Array): StartTrace {
  try {
    return traceOf(fields(parseJson(bytes, budget), "the trace"));
  } catch (thrown) {
    const cause = thrown instanceof Error ? thrown : new Error(String(thrown));
    throw dataLoss(`Cannot read trace: ${cause.message}`, { reason: "trace-damaged", cause });
  }
}

type Fields = Readonly<Record<string, unknown>>;

function traceOf(value: Fields): StartTrace {
  if (value["version"] !== 1) throw wrong("version", "1", value["version"]);
  const layers = list(value["layers"], "layers", TRACED_LAYERS_MAX).map(layerOf);
  const { id, manifest } = value;
  if (typeof id !== "string" || !isTraceId(id)) throw wrong("id", "a trace's name", id);
  return {
    version: 1,
    id,
    startedAt: timestamp(value["startedAt"]),
    reference: text(value["reference"], "reference"),
    manifest: manifest === undefined ? undefined : parseDigest(manifest),
    command: commandOf(value["command"]),
    key: text(value["key"], "key"),
    durationMs: time(value["durationMs"], "durationMs"),
    ended: oneOf<TraceEnd>(value["ended"], "ended", traceEnds),
    layers,
    touches: list(value["touches"], "touches", TOUCHES_MAX).map((touch) => touchOf(touch, layers)),
    requests: list(value["requests"], "requests", REQUESTS_MAX).map((request) => requestOf(request, layers)),
  };
}

function layerOf(from: unknown): TracedLayer {
  const value = fields(from, "a layer");
  return {
    digest: parseDigest(value["digest"]) as Digest,
    format: text(value["format"], "format"),
    blobBytes: whole(value["blobBytes"], "blobBytes"),
    dataBytes: whole(value["dataBytes"], "dataBytes"),
    units: whole(value["units"], "units"),
  };
}

function touchOf(from: unknown, layers: readonly TracedLayer[]): Touch {
  const value = fields(from, "a touch");
  const { index, layer } = layerAt(value["layer"], layers);
  const offset = whole(value["offset"], "offset");
  return {
    layer: index,
    unit: whole(value["unit"], "unit", layer.units - 1),
    offset,
    length: whole(value["length"], "length", Number.MAX_SAFE_INTEGER - offset),
    atMs: time(value["atMs"], "atMs"),
    waitedMs: time(value["waitedMs"], "waitedMs"),
  };
}

function requestOf(from: unknown, layers: readonly TracedLayer[]): TracedRequest {
  const value = fields(from, "a request");
  const { index, layer } = layerAt(value["layer"], layers);
  const offset = whole(value["offset"], "offset");
  const firstUnit = whole(value["firstUnit"], "firstUnit", layer.units - 1);
  const lastUnit = whole(value["lastUnit"], "lastUnit", layer.units - 1);
  if (lastUnit < firstUnit) throw wrong("lastUnit", `at least ${firstUnit}`, lastUnit);
  if (typeof value["hasFailed"] !== "boolean") throw wrong("hasFailed", "a boolean", value["hasFailed"]);
  return {
    layer: index,
    priority: oneOf(value["priority"], "priority", priorities),
    offset,
    length: whole(value["length"], "length", Number.MAX_SAFE_INTEGER - offset),
    firstUnit,
    lastUnit,
    atMs: time(value["atMs"], "atMs"),
    firstByteMs: timeIfAny(value["firstByteMs"], "firstByteMs"),
    endMs: timeIfAny(value["endMs"], "endMs"),
    storedMs: timeIfAny(value["storedMs"], "storedMs"),
    hasFailed: value["hasFailed"],
  };
}

function layerAt(from: unknown, layers: readonly TracedLayer[]): { index: number; layer: TracedLayer } {
  const index = whole(from, "layer", layers.length - 1);
  return { index, layer: layers[index]! };
}

function commandOf(from: unknown): readonly string[] | undefined {
  if (from === undefined) return undefined;
  const command = list(from, "command", COMMAND_ARGUMENTS_MAX).map((argument) =>
    text(argument, "command", COMMAND_CHARACTERS_MAX),
  );
  return command;
}

function fields(value: unknown, what: string): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw wrong(what, "an object", value);
  return value as Fields;
}

function list(value: unknown, name: string, max: number): readonly unknown[] {
  if (!Array.isArray(value)) throw wrong(name, "a list", value);
  if (value.length > max) throw wrong(name, `at most ${max} entries`, value.length);
  return value;
}

function text(value: unknown, name: string, max = TEXT_CHARACTERS_MAX): string {
  if (typeof value !== "string" || value.length > max) {
    throw wrong(name, `a text of at most ${max} characters`, typeof value);
  }
  return value;
}

function timestamp(value: unknown): string {
  const at = text(value, "startedAt", 40);
  if (Number.isNaN(Date.parse(at))) throw wrong("startedAt", "an RFC 3339 time", at);
  return at;
}

function oneOf<Word extends string>(value: unknown, name: string, words: readonly Word[]): Word {
  const found = words.find((word) => word === value);
  if (found === undefined) throw wrong(name, words.join(" or "), value);
  return found;
}

function whole(value: unknown, name: string, max = Number.MAX_SAFE_INTEGER): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0 || value > max) {
    throw wrong(name, `a whole number up to ${max}`, value);
  }
  return value;
}

function time(value: unknown, name: string): number {
  if (typeof value !== "number" || !(value >= 0 && value <= TRACE_MS_MAX)) {
    throw wrong(name, `milliseconds up to ${TRACE_MS_MAX}`, value);
  }
  return value;
}

function timeIfAny(value: unknown, name: string): number | undefined {
  return value === undefined ? undefined : time(value, name);
}

function wrong(name: string, wanted: string, got: unknown): Error {
  const shown = typeof got === "string" ? JSON.stringify(got.slice(0, 80)) : String(got).slice(0, 80);
  return new Error(`${name}: want ${wanted}, got ${shown}`);
}
