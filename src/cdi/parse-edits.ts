import type { CdiHook, CdiMount, ContainerEdits, DeviceNode, NetDevice } from "./contract.js";
import { badSpec, Fields, textOf } from "./fields.js";
import { type HookName, hookNames, type RuntimeRdt } from "./runtime-spec.js";

/** An os.FileMode of Go: its low bits are Linux's. */
const FILE_MODE_MAX = 0xffff_ffff;
const DEVICE_NUMBER_MAX = 2 ** 32 - 1;
const FILE_NAME_BYTES_MAX = 4095;

/** containerEdits of a file or of a device; `undefined` is a file's without any. */
export function parseEdits(value: unknown, what: string): ContainerEdits {
  const fields = new Fields(value ?? {}, what);
  // The schema says additionalGids, the text of the specification additionalGIDs.
  const gids = fields.raw("additionalGIDs") === undefined ? "additionalGids" : "additionalGIDs";
  const edits: ContainerEdits = {
    env: fields.list("env", environmentVariable),
    deviceNodes: fields.list("deviceNodes", deviceNode),
    netDevices: fields.list("netDevices", netDevice),
    hooks: fields.list("hooks", hook),
    mounts: fields.list("mounts", mount),
    intelRdt: rdt(fields.raw("intelRdt"), `${what}.intelRdt`),
    additionalGids: fields.list(gids, (gid, where) => new Fields({ gid }, where).u32("gid") ?? 0),
  };
  fields.raw("additionalGids");
  fields.end();
  checkUnique(edits.netDevices, what);
  return edits;
}

export function isEmpty(edits: ContainerEdits): boolean {
  return Object.values(edits).every(
    (value) => value === undefined || (Array.isArray(value) && value.length === 0),
  );
}

function environmentVariable(value: unknown, what: string): string {
  const text = textOf(value, what);
  if (text.indexOf("=") <= 0) throw badSpec(what, "NAME=value", text);
  return text;
}

function deviceNode(value: unknown, what: string): DeviceNode {
  const fields = new Fields(value, what);
  const type = fields.text("type");
  const permissions = fields.text("permissions");
  if (type !== undefined && !isDeviceType(type)) throw badSpec(`${what}.type`, "b, c, u or p", type);
  if (permissions !== undefined && permissions !== "none" && !/^[rwm]+$/.test(permissions)) {
    throw badSpec(`${what}.permissions`, 'letters of rwm, or "none"', permissions);
  }
  const node: DeviceNode = {
    path: fields.requiredText("path"),
    hostPath: fields.text("hostPath"),
    type,
    major: fields.integer("major", { min: 0, max: DEVICE_NUMBER_MAX }),
    minor: fields.integer("minor", { min: 0, max: DEVICE_NUMBER_MAX }),
    fileMode: fields.integer("fileMode", { min: 0, max: FILE_MODE_MAX }),
    permissions,
    uid: fields.u32("uid"),
    gid: fields.u32("gid"),
  };
  fields.end();
  return node;
}

function isDeviceType(type: string): type is "b" | "c" | "u" | "p" {
  return ["b", "c", "u", "p"].includes(type);
}

function netDevice(value: unknown, what: string): NetDevice {
  const fields = new Fields(value, what);
  const device = {
    hostInterfaceName: fields.requiredText("hostInterfaceName"),
    name: fields.requiredText("name"),
  };
  fields.end();
  return device;
}

function checkUnique(devices: readonly NetDevice[], what: string): void {
  for (const key of ["hostInterfaceName", "name"] as const) {
    const names = new Set(devices.map((device) => device[key]));
    if (names.size < devices.length) throw badSpec(`${what}.netDevices`, `each ${key} once`, "one twice");
  }
}

function hook(value: unknown, what: string): CdiHook {
  const fields = new Fields(value, what);
  const name = fields.requiredText("hookName");
  if (!isHookName(name)) throw badSpec(`${what}.hookName`, hookNames.join(", "), name);
  const args = fields.texts("args");
  const env = fields.list("env", environmentVariable);
  const timeout = fields.integer("timeout", { min: 0, max: 2 ** 31 - 1 });
  const parsed: CdiHook = {
    hookName: name,
    hook: {
      path: fields.requiredText("path"),
      ...(args.length > 0 && { args }),
      ...(env.length > 0 && { env }),
      ...(timeout !== undefined && { timeout }),
    },
  };
  fields.end();
  return parsed;
}

function isHookName(name: string): name is HookName {
  return (hookNames as readonly string[]).includes(name);
}

function mount(value: unknown, what: string): CdiMount {
  const fields = new Fields(value, what);
  const parsed: CdiMount = {
    hostPath: fields.requiredText("hostPath"),
    containerPath: fields.requiredText("containerPath"),
    type: fields.text("type"),
    options: fields.texts("options"),
  };
  fields.end();
  return parsed;
}

function rdt(value: unknown, what: string): RuntimeRdt | undefined {
  if (value === undefined) return undefined;
  const fields = new Fields(value, what);
  const closID = fields.text("closID");
  const l3CacheSchema = fields.text("l3CacheSchema");
  const memBwSchema = fields.text("memBwSchema");
  const schemata = fields.texts("schemata");
  const enableMonitoring = fields.boolean("enableMonitoring");
  // Fields of versions before 1.1 that runtimes do no more know.
  fields.boolean("enableCMT");
  fields.boolean("enableMBM");
  fields.end();
  if (closID !== undefined && closID !== "/" && !isFileName(closID)) {
    throw badSpec(`${what}.closID`, 'a file name or "/"', closID);
  }
  return {
    ...(closID !== undefined && { closID }),
    ...(l3CacheSchema !== undefined && { l3CacheSchema }),
    ...(memBwSchema !== undefined && { memBwSchema }),
    ...(schemata.length > 0 && { schemata }),
    ...(enableMonitoring === true && { enableMonitoring }),
  };
}

function isFileName(text: string): boolean {
  return (
    text !== "." && text !== ".." && !/[/\n]/.test(text) && Buffer.byteLength(text) <= FILE_NAME_BYTES_MAX
  );
}
