import { otherCaseKey, parseJson } from "../bytes/index.js";
import { invalidArgument, type LazuliError } from "../errors/index.js";

/** A JSON object of a stranger. */
export type Fields = Readonly<Record<string, unknown>>;

export interface DocumentShape {
  /** For messages: `manifest`. */
  readonly what: string;
  readonly bytesMax: number;
  /** The keys that have a meaning for us at the top level. */
  readonly knownKeys: readonly string[];
}

/** Deeper and longer than any real document: an image has tens of layers, a config hundreds of history entries. */
const DEPTH_MAX = 64;
const NODES_MAX = 500_000;
/** Bytes of one annotation key and value together, far above containerd's 4096 for a label. */
const ANNOTATION_BYTES_MAX = 256 * 1024;

export function malformed(what: string, problem: string): LazuliError {
  return invalidArgument(`Cannot read ${what}: ${problem}`, {
    reason: `${what.replaceAll(" ", "-")}-invalid`,
  });
}

/** Reads a top-level object and refuses keys that Go's JSON would take for known ones (`Layers` for `layers`). */
export function parseDocument(bytes: Uint8Array, shape: DocumentShape): Fields {
  const value = parseJson(bytes, { maxBytes: shape.bytesMax, maxDepth: DEPTH_MAX, maxNodes: NODES_MAX });
  const fields = asObject(value, shape.what, "it");
  refuseOtherCase(fields, shape.knownKeys, shape.what);
  return fields;
}

/** @throws INVALID_ARGUMENT where Go would read a key as a known one, and we as another */
export function refuseOtherCase(fields: Fields, knownKeys: readonly string[], what: string): void {
  const key = otherCaseKey(Object.keys(fields), knownKeys);
  if (key !== undefined) throw malformed(what, `the key "${key}" differs from a known one in case only`);
}

export function asObject(value: unknown, what: string, name: string): Fields {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Fields;
  throw malformed(what, `want an object for ${name}, got ${kindOf(value)}`);
}

export function asArray(options: {
  value: unknown;
  what: string;
  name: string;
  max: number;
}): readonly unknown[] {
  const { value, what, name, max } = options;
  if (!Array.isArray(value)) throw malformed(what, `want an array for ${name}, got ${kindOf(value)}`);
  if (value.length > max) throw malformed(what, `want at most ${max} of ${name}, got ${value.length}`);
  return value;
}

/** A text, or undefined where the key is absent or null. */
export function optionalText(fields: Fields, key: string, what: string): string | undefined {
  const value = own(fields, key);
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "string") throw malformed(what, `want a text for ${key}, got ${kindOf(value)}`);
  return value;
}

/** A map of texts on an object without a prototype, so that any key can be looked up. */
export function textMap(value: unknown, what: string, name: string): Readonly<Record<string, string>> {
  const texts: Record<string, string> = Object.create(null);
  if (value === undefined || value === null) return texts;
  for (const [key, text] of Object.entries(asObject(value, what, name))) {
    if (typeof text !== "string") throw malformed(what, `want a text in ${name}, got ${kindOf(text)}`);
    if (key.length + text.length > ANNOTATION_BYTES_MAX)
      throw malformed(what, `a text in ${name} is too long`);
    texts[key] = text;
  }
  return texts;
}

export function own(fields: Fields, key: string): unknown {
  return Object.hasOwn(fields, key) ? fields[key] : undefined;
}

export function has(fields: Fields, key: string): boolean {
  const value = own(fields, key);
  return value !== undefined && value !== null;
}

function kindOf(value: unknown): string {
  if (value === null) return "null";
  return Array.isArray(value) ? "an array" : `a ${typeof value}`;
}
