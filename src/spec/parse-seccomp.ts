import { parseJson } from "../bytes/index.js";
import { invalidArgument, type LazuliError } from "../errors/index.js";
import type { SeccompArgument, SeccompProfile, SeccompRule } from "./runtime-spec.js";

const BUDGET = { maxBytes: 4 * 1024 * 1024, maxDepth: 16, maxNodes: 200_000 };

/**
 * A seccomp profile as the runtime specification has it (config-linux.md, "Seccomp"). Fields that it does not name are left
 * out, as containerd does with Docker's own.
 * @throws INVALID_ARGUMENT `seccomp-profile-invalid`, or what parseJson() throws
 */
export function parseSeccompProfile(bytes: Uint8Array): SeccompProfile {
  const document = fieldsOf(parseJson(bytes, BUDGET), "the profile");
  return {
    defaultAction: actionOf(document, "defaultAction"),
    ...number(document, "defaultErrnoRet"),
    architectures: texts(document, "architectures"),
    ...(has(document, "flags") && { flags: texts(document, "flags") }),
    ...text(document, "listenerPath"),
    ...text(document, "listenerMetadata"),
    syscalls: list(document, "syscalls").map(ruleOf),
  };
}

type Fields = Readonly<Record<string, unknown>>;

function ruleOf(value: unknown): SeccompRule {
  const rule = fieldsOf(value, "syscalls");
  const names = texts(rule, "names");
  if (names.length === 0) throw malformed("want a name in each of syscalls");
  return {
    names,
    action: actionOf(rule, "action"),
    ...number(rule, "errnoRet"),
    ...(list(rule, "args").length > 0 && { args: list(rule, "args").map(argumentOf) }),
  };
}

function argumentOf(value: unknown): SeccompArgument {
  const argument = fieldsOf(value, "args");
  const { index = 0 } = number(argument, "index");
  const { value: first = 0 } = number(argument, "value");
  return { index, value: first, ...number(argument, "valueTwo"), op: mandatoryText(argument, "op") };
}

function actionOf(fields: Fields, name: string): string {
  const action = mandatoryText(fields, name);
  if (/^SCMP_ACT_[A-Z_]{1,32}$/.test(action)) return action;
  throw malformed(`want SCMP_ACT_… for ${name}, got ${JSON.stringify(action)}`);
}

function has(fields: Fields, name: string): boolean {
  return Object.hasOwn(fields, name) && fields[name] !== null && fields[name] !== undefined;
}

function mandatoryText(fields: Fields, name: string): string {
  const value = has(fields, name) ? fields[name] : undefined;
  if (typeof value === "string" && value !== "") return value;
  throw malformed(`want a text for ${name}`);
}

function text<Name extends string>(fields: Fields, name: Name): { readonly [key in Name]?: string } {
  if (!has(fields, name)) return {};
  return { [name]: mandatoryText(fields, name) } as { [key in Name]: string };
}

function number<Name extends string>(fields: Fields, name: Name): { readonly [key in Name]?: number } {
  if (!has(fields, name)) return {};
  const value = fields[name];
  if (typeof value !== "number" || !Number.isInteger(value) || value < 0) {
    throw malformed(`want a number for ${name}`);
  }
  return { [name]: value } as { [key in Name]: number };
}

function list(fields: Fields, name: string): readonly unknown[] {
  if (!has(fields, name)) return [];
  const value = fields[name];
  if (Array.isArray(value)) return value;
  throw malformed(`want a list for ${name}`);
}

function texts(fields: Fields, name: string): readonly string[] {
  return list(fields, name).map((value) => {
    if (typeof value === "string") return value;
    throw malformed(`want texts in ${name}`);
  });
}

function fieldsOf(value: unknown, name: string): Fields {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Fields;
  throw malformed(`want an object for ${name}`);
}

function malformed(problem: string): LazuliError {
  return invalidArgument(`Cannot read a seccomp profile: ${problem}`, { reason: "seccomp-profile-invalid" });
}
