import { open, rename } from "node:fs/promises";
import { resolve } from "node:path";
import { type MessageShape, toJson } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import {
  ListTracesResponseSchema,
  TraceReadyResponseSchema,
  type TraceSummarySchema,
  Traces,
} from "../../gen/lazuli/v1/traces_pb.js";
import { invalidArgument, notFound } from "../errors/index.js";
import { decodeTrace, type StartTrace, traceFigures } from "../traces/index.js";
import { type Command, type CommandInput, type CommandResult, jsonOption } from "./command.js";
import { askService, nodeOptions } from "./node-client.js";
import { humanBytes, table } from "./table.js";
import { waterfall, waterfallKey } from "./trace-waterfall.js";

type Summary = MessageShape<typeof TraceSummarySchema>;

const COLUMNS_DEFAULT = 100;
const COLUMNS_MAX = 240;

const actions: Readonly<Record<string, (input: CommandInput) => Promise<CommandResult>>> = {
  ls: listTraces,
  show: showTrace,
  export: exportTrace,
  end: endTrace,
};

export const traceCommand: Command = {
  name: "trace",
  summary: "show what starts of containers read of their lazy layers, and what they waited for",
  usage: "ls | show [TRACE] | export [TRACE] | end KEY [options]",
  positionalsMin: 1,
  positionalsMax: 2,
  description: [
    "The running daemon or snapshotter records each start of a container on lazy layers, from the Prepare of its writable snapshot on, for `[trace] seconds` of the config (10; 0: off): which units of the layers were read first, when, how long each read waited for its bytes, and the requests to registries meanwhile. It keeps 64 traces below its root.",
    "`ls` lists them, the oldest first. `show` draws one: over one axis of time the reads, the reads that waited and the requests of each layer, and the totals. `export` writes it as JSON, to stdout or into a file; it holds all that was recorded and no secret, but it does name the image and the command.",
    "`end` says that the container is ready: what is being recorded of its start ends now. KEY is the key of its snapshot, which with most clients is the container's id.",
    "TRACE is an id of `ls` or its beginning, the key of a container's snapshot, or an image's reference; of several it is the youngest. Without it: the youngest of all.",
    "Reads that the kernel answers from its page cache come to nobody: a second start of the same files shows fewer touches, or leaves no trace. Layers that are complete and mounted on their own data are read without lazuli.",
    "Ends with 0, with 5 where there is no such trace or recording, and as `lazuli help` says for the rest.",
  ],
  options: {
    output: {
      type: "string",
      short: "o",
      value: "FILE",
      meaning: "Where `export` writes to. It is there when it is whole. Default: stdout.",
    },
    reference: { type: "string", value: "IMAGE", meaning: "For `ls`: only traces of this image." },
    ...nodeOptions,
    json: jsonOption,
  },
  examples: [
    ["lazuli trace ls", "Which starts were recorded?"],
    ["lazuli trace show web", "What did the last start of the container `web` wait for?"],
    ["lazuli trace export -o start.json", "The youngest trace, for a benchmark or a bug report."],
    ["lazuli trace end web", "From a readiness probe: the start of `web` is over."],
  ],
  run: async (input) => {
    const action = actions[input.positionals[0]!];
    if (action === undefined) {
      throw usage(`want ${Object.keys(actions).join(", ")}, got "${input.positionals[0]}"`);
    }
    if (input.options.output !== undefined && action !== exportTrace) throw usage("--output is of `export`");
    if (input.options.reference !== undefined && action !== listTraces) throw usage("--reference is of `ls`");
    return await action(input);
  },
};

function usage(problem: string): Error {
  return invalidArgument(`Cannot run lazuli trace: ${problem}`, {
    reason: "usage",
    hint: "`lazuli trace --help` shows what each does",
  });
}

async function ask<T>(
  input: CommandInput,
  call: (client: Client<typeof Traces>, options: { timeoutMs: number }) => Promise<T>,
): Promise<T> {
  return await askService(input, call, { service: Traces });
}

async function listTraces(input: CommandInput): Promise<CommandResult> {
  if (input.positionals[1] !== undefined) throw usage("`ls` takes no trace");
  const reference = input.options.reference?.at(-1) ?? "";
  const answer = await ask(input, (client, options) => client.list({ reference }, options));
  const rows = answer.traces.map((trace) => [
    trace.id,
    trace.reference,
    trace.key,
    String(trace.touches),
    humanBytes(trace.touchedBytes),
    percent(trace.localBytes, trace.touchedBytes),
    milliseconds(trace.stalledMs),
    String(trace.requests),
    trace.ended,
  ]);
  const head = ["TRACE", "IMAGE", "KEY", "UNITS", "READ", "LOCAL", "STALLED", "REQUESTS", "ENDED"];
  return {
    data: toJson(ListTracesResponseSchema, answer, { alwaysEmitImplicit: true }),
    text: rows.length === 0 ? "No traces.\n" : table(head, rows),
  };
}

async function showTrace(input: CommandInput): Promise<CommandResult> {
  const trace = decodeTrace(await readTrace(input));
  const columns = Math.min(COLUMNS_MAX, process.stdout.columns ?? COLUMNS_DEFAULT);
  return { data: { ...trace, figures: traceFigures(trace) }, text: traceText(trace, columns) };
}

async function exportTrace(input: CommandInput): Promise<CommandResult> {
  const bytes = await readTrace(input);
  const { id } = decodeTrace(bytes);
  const output = input.options.output?.at(-1);
  if (output === undefined) return { data: JSON.parse(bytes.toString("utf8")), text: bytes.toString("utf8") };
  const path = resolve(output);
  const temporary = `${path}.${process.pid}.new`;
  const file = await open(temporary, "wx", 0o600);
  try {
    await file.writeFile(bytes);
  } finally {
    await file.close();
  }
  await rename(temporary, path);
  return { data: { path, id }, text: `${path}: ${id}\n` };
}

async function endTrace(input: CommandInput): Promise<CommandResult> {
  const key = input.positionals[1];
  if (key === undefined) throw usage("want the key of the container's snapshot behind `end`");
  const answer = await ask(input, (client, options) => client.traceReady({ key }, options));
  const text =
    answer.ids.length === 0 ? "Nothing was read through lazuli: no trace.\n" : `${answer.ids.join("\n")}\n`;
  return { data: toJson(TraceReadyResponseSchema, answer, { alwaysEmitImplicit: true }), text };
}

async function readTrace(input: CommandInput): Promise<Buffer> {
  const { traces } = await ask(input, (client, options) => client.list({ reference: "" }, options));
  const { id } = chosen(traces, input.positionals[1]);
  return await ask(input, async (client, options) => {
    const pieces: Uint8Array[] = [];
    for await (const { data } of client.read({ id }, options)) pieces.push(data);
    return Buffer.concat(pieces);
  });
}

/** The youngest that the word can mean. */
function chosen(traces: readonly Summary[], wanted: string | undefined): Summary {
  const isMeant = ({ id, key, reference }: Summary): boolean =>
    wanted === undefined || id.startsWith(wanted) || key === wanted || reference === wanted;
  const found = wanted === "" ? undefined : traces.filter(isMeant).at(-1);
  if (found !== undefined) return found;
  throw notFound(wanted === undefined ? "There are no traces" : `There is no trace of "${wanted}"`, {
    reason: "trace-unknown",
    hint: "`lazuli trace ls` lists them; a trace is written when its container has run for `[trace] seconds`, or is removed",
  });
}

export function traceText(trace: StartTrace, columns: number): string {
  const figures = traceFigures(trace);
  const facts: readonly (readonly [string, string])[] = [
    ["trace", trace.id],
    ["image", trace.reference === "" ? "unknown" : trace.reference],
    ["manifest", trace.manifest ?? "unknown"],
    [
      "command",
      trace.command?.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : JSON.stringify(word))).join(" ") ??
        "unknown",
    ],
    ["key", trace.key],
    ["recorded", `${trace.startedAt}, for ${milliseconds(trace.durationMs)} (${trace.ended})`],
    [
      "read",
      `${figures.touches} units, ${humanBytes(figures.touchedBytes)}; local ${figures.localTouches} units, ${humanBytes(figures.localBytes)} (${percent(figures.localBytes, figures.touchedBytes)})`,
    ],
    [
      "waited",
      `${milliseconds(figures.stalledMs)} in which a read waited, ${milliseconds(figures.waitedMs)} over all units`,
    ],
    [
      "requests",
      `${figures.requests}, ${humanBytes(figures.requestedBytes)}, ${figures.failedRequests} failed`,
    ],
  ];
  const head = facts
    .map(([name, value]) => `${name.padEnd(10)} ${value.replace(/\p{Cc}/gu, " ")}\n`)
    .join("");
  return `${head}\n${waterfall(trace, columns)}\n${waterfallKey}`;
}

function percent(part: number, whole: number): string {
  return whole === 0 ? "-" : `${Math.floor((100 * part) / whole)} %`;
}

function milliseconds(value: number): string {
  return value < 10_000 ? `${value.toFixed(value < 100 ? 1 : 0)} ms` : `${(value / 1000).toFixed(1)} s`;
}
