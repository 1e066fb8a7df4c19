import { parseJson } from "../../bytes/index.js";
import { decodeTrace } from "../../traces/index.js";
import type { BenchContestant, BenchMachine, BenchReport, BenchSeries } from "../contract.js";
import { Field } from "./fields.js";

/** A report of all workloads with their traces has some megabytes; more than this is none. */
const budget = { maxBytes: 64 * 1024 * 1024, maxDepth: 12, maxNodes: 4_000_000 };
const SERIES_MAX = 4096;
const CONTESTANTS_MAX = 64;
const ROUNDS_MAX = 10_000;
const LINES_MAX = 1024;

const kinds = ["start", "fs", "store"] as const;
const units = ["ms", "bytes", "count", "%", "MiB/s", "1/s"] as const;

/**
 * What renderJson() has written, from whoever brings it.
 * @throws RESOURCE_EXHAUSTED or INVALID_ARGUMENT as parseJson(), INVALID_ARGUMENT `report-invalid`, DATA_LOSS `trace-damaged`
 */
export function parseReport(bytes: Uint8Array): BenchReport {
  const root = new Field(parseJson(bytes, budget), "");
  return {
    version: root.at("version").oneOf([1]),
    kind: root.at("kind").oneOf(kinds),
    question: root.at("question").text(),
    startedAt: root.at("startedAt").text(),
    machine: parseMachine(root.at("machine")),
    conditions: root.at("conditions").list(LINES_MAX, parsePair),
    series: root.at("series").list(SERIES_MAX, parseSeries),
    repeatability: root.at("repeatability").optional((field) => field.amount()),
    notes: root.at("notes").list(LINES_MAX, (field) => field.text()),
  };
}

function parseMachine(field: Field): BenchMachine {
  return {
    processors: field.at("processors").text(),
    memoryBytes: field.at("memoryBytes").count(),
    kernel: field.at("kernel").text(),
    distribution: field.at("distribution").text(),
    node: field.at("node").text(),
    commit: field.at("commit").text(),
    programs: field.at("programs").list(LINES_MAX, parsePair),
  };
}

function parsePair(field: Field): readonly [string, string] {
  const pair = field.list(2, (one) => one.text());
  return [pair[0] ?? "", pair[1] ?? ""];
}

function parseSeries(field: Field): BenchSeries {
  return {
    subject: field.at("subject").text(),
    measure: field.at("measure").text(),
    unit: field.at("unit").oneOf(units),
    isLessBetter: field.at("isLessBetter").flag(),
    contestants: field.at("contestants").list(CONTESTANTS_MAX, parseContestant),
  };
}

function parseContestant(field: Field): BenchContestant {
  return {
    name: field.at("name").text(),
    isBaseline: field.at("isBaseline").flag(),
    values: field.at("values").list(ROUNDS_MAX, (value) => value.optional((one) => one.amount())),
    trace: field.at("trace").optional((one) => decodeTrace(one.bytes())),
  };
}
