import { parseJson } from "../bytes/index.js";
import { invalidArgument, type LazuliError } from "../errors/index.js";
import { MANIFEST_BYTES_MAX } from "../oci/index.js";

export type Fields = Readonly<Record<string, unknown>>;

/** As src/oci has them for manifests. */
const DEPTH_MAX = 64;
const NODES_MAX = 500_000;

export function refuseIndex(problem: string): LazuliError {
  return invalidArgument(`Cannot use SOCI index: ${problem}`, { reason: "soci-index-invalid" });
}

/** A manifest or index as it is written, for what src/oci does not keep of it. */
export function parseFields(bytes: Uint8Array): Fields {
  return asFields(
    parseJson(bytes, { maxBytes: MANIFEST_BYTES_MAX, maxDepth: DEPTH_MAX, maxNodes: NODES_MAX }),
  );
}

export function asFields(value: unknown): Fields {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Fields;
  throw refuseIndex("want an object");
}

/** An optional object; empty where it is absent or null. */
export function fieldsAt(fields: Fields, key: string): Fields {
  const value = ownField(fields, key);
  return value === undefined ? {} : asFields(value);
}

export function textAt(fields: Fields, key: string): string | undefined {
  const value = ownField(fields, key);
  if (value === undefined || typeof value === "string") return value;
  throw refuseIndex(`want a text for ${key}`);
}

export function arrayAt(fields: Fields, key: string): readonly unknown[] {
  const value = ownField(fields, key);
  if (value === undefined) return [];
  if (Array.isArray(value)) return value;
  throw refuseIndex(`want an array for ${key}`);
}

function ownField(fields: Fields, key: string): unknown {
  const value = Object.hasOwn(fields, key) ? fields[key] : undefined;
  return value === null ? undefined : value;
}
