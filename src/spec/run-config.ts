import { otherCaseKey, parseJson } from "../bytes/index.js";
import { invalidArgument, type LazuliError } from "../errors/index.js";

/** What an image's config says of its process (image-spec, config.md, "config"). */
export interface RunConfig {
  readonly user: string;
  readonly env: readonly string[];
  readonly entrypoint: readonly string[];
  readonly command: readonly string[];
  readonly workingFolder: string;
  readonly stopSignal: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly volumes: readonly string[];
  readonly architecture: string;
}

const BUDGET = { maxBytes: 16 * 1024 * 1024, maxDepth: 64, maxNodes: 500_000 };
/** Texts of one list, far above what execve(2) takes. */
const LIST_MAX = 10_000;

/** @throws INVALID_ARGUMENT `run-config-invalid`, or what parseJson() throws */
export function parseRunConfig(bytes: Uint8Array): RunConfig {
  const document = objectOf(parseJson(bytes, BUDGET), "the document");
  const config = objectOf(own(document, "config") ?? {}, "config");
  refuseOtherCase(document, ["config", "architecture"]);
  refuseOtherCase(config, [
    "User",
    "Env",
    "Entrypoint",
    "Cmd",
    "WorkingDir",
    "StopSignal",
    "Labels",
    "Volumes",
  ]);
  return {
    user: textOf(own(config, "User"), "User"),
    env: listOf(own(config, "Env"), "Env"),
    entrypoint: listOf(own(config, "Entrypoint"), "Entrypoint"),
    command: listOf(own(config, "Cmd"), "Cmd"),
    workingFolder: textOf(own(config, "WorkingDir"), "WorkingDir"),
    stopSignal: textOf(own(config, "StopSignal"), "StopSignal"),
    labels: Object.fromEntries(
      Object.entries(objectOf(own(config, "Labels") ?? {}, "Labels")).map(([key, value]) => [
        key,
        textOf(value, "Labels"),
      ]),
    ),
    volumes: Object.keys(objectOf(own(config, "Volumes") ?? {}, "Volumes")),
    architecture: textOf(own(document, "architecture"), "architecture"),
  };
}

type Fields = Readonly<Record<string, unknown>>;

function own(fields: Fields, key: string): unknown {
  return Object.hasOwn(fields, key) ? fields[key] : undefined;
}

/** Whoever reads `user` as `User` runs the image as another user. */
function refuseOtherCase(fields: Fields, knownKeys: readonly string[]): void {
  const key = otherCaseKey(Object.keys(fields), knownKeys);
  if (key !== undefined)
    throw malformed(`the key ${JSON.stringify(key)} differs from a known one in case only`);
}

function objectOf(value: unknown, name: string): Fields {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Fields;
  throw malformed(`want an object for ${name}`);
}

function textOf(value: unknown, name: string): string {
  if (value === undefined || value === null) return "";
  if (typeof value === "string" && !value.includes("\0")) return value;
  throw malformed(`want a text without NUL for ${name}`);
}

function listOf(value: unknown, name: string): readonly string[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value) || value.length > LIST_MAX) throw malformed(`want a list for ${name}`);
  return value.map((one) => textOf(one, name));
}

function malformed(problem: string): LazuliError {
  return invalidArgument(`Cannot read the image's config: ${problem}`, { reason: "run-config-invalid" });
}
