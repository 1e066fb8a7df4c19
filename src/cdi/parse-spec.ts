import { isUtf8 } from "node:buffer";
import { parse } from "yaml";
import { parseJson } from "../bytes/index.js";
import { LazuliError } from "../errors/index.js";
import type { CdiDevice, CdiSpec } from "./contract.js";
import { isDeviceName, isVendorOrClass } from "./device-name.js";
import { badSpec, Fields } from "./fields.js";
import { isEmpty, parseEdits } from "./parse-edits.js";
import { checkSpecVersion } from "./spec-version.js";

/** A spec file that is longer is not read. Those of a node with many GPUs have some 100 KiB. */
export const SPEC_BYTES_MAX = 4 * 1024 * 1024;
const JSON_BUDGET = { maxBytes: SPEC_BYTES_MAX, maxDepth: 32, maxNodes: 200_000 };
/** YAML's parser recurses and keeps all of a text in memory, so its files have to be shorter. */
const YAML_BYTES_MAX = 1024 * 1024;
/** Uses of anchors in one YAML file: they could make a short file long. */
const YAML_ALIASES_MAX = 100;

/** @throws INVALID_ARGUMENT or RESOURCE_EXHAUSTED */
export function parseCdiSpec(bytes: Uint8Array, syntax: "json" | "yaml"): CdiSpec {
  const fields = new Fields(
    syntax === "json" ? parseJson(bytes, JSON_BUDGET) : parseYaml(bytes),
    "the CDI spec",
  );
  const kind = fields.requiredText("kind");
  const slash = kind.indexOf("/");
  if (slash < 0 || !isVendorOrClass(kind.slice(0, slash)) || !isVendorOrClass(kind.slice(slash + 1))) {
    throw badSpec("kind", "vendor/class", kind);
  }
  const spec: CdiSpec = {
    version: fields.requiredText("cdiVersion").replace(/^v/, ""),
    kind,
    annotations: fields.textTable("annotations"),
    devices: fields.list("devices", parseDevice),
    edits: parseEdits(fields.raw("containerEdits"), "containerEdits"),
  };
  fields.end();
  if (spec.devices.length === 0) throw badSpec("devices", "at least one", "none");
  const names = new Set(spec.devices.map(({ name }) => name));
  if (names.size < spec.devices.length) throw badSpec("devices", "each name once", "one twice");
  checkSpecVersion(spec);
  return spec;
}

function parseDevice(value: unknown, what: string): CdiDevice {
  const fields = new Fields(value, what);
  const device: CdiDevice = {
    name: fields.requiredText("name"),
    annotations: fields.textTable("annotations"),
    edits: parseEdits(fields.raw("containerEdits"), `${what}.containerEdits`),
  };
  fields.end();
  if (!isDeviceName(device.name)) throw badSpec(`${what}.name`, "a device's name", device.name);
  if (isEmpty(device.edits)) throw badSpec(`${what}.containerEdits`, "at least one edit", "none");
  return device;
}

function parseYaml(bytes: Uint8Array): unknown {
  if (bytes.length > YAML_BYTES_MAX) throw badSpec("YAML", `at most ${YAML_BYTES_MAX} bytes`, bytes.length);
  if (!isUtf8(bytes)) throw badSpec("YAML", "UTF-8", "other bytes");
  try {
    // Version 1.1, as Go's readers have it: 0660 is octal.
    return parse(Buffer.from(bytes).toString("utf8"), {
      version: "1.1",
      maxAliasCount: YAML_ALIASES_MAX,
      prettyErrors: false,
      logLevel: "error",
    });
  } catch (thrown) {
    // Its own errors, and the RangeError of a text that is nested too deep.
    throw badSpec("YAML", "one document", LazuliError.from(thrown).message);
  }
}
