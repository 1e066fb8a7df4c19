import { constants, lstat } from "node:fs/promises";
import { failedPrecondition } from "../errors/index.js";
import type { DeviceNode } from "./contract.js";
import type { RuntimeDevice } from "./runtime-spec.js";

const { S_IFMT, S_IFBLK, S_IFCHR, S_IFIFO } = constants;
const typesOfMode: ReadonlyMap<number, "b" | "c" | "p"> = new Map([
  [S_IFBLK, "b"],
  [S_IFCHR, "c"],
  [S_IFIFO, "p"],
]);

/**
 * The device of a node, with what it leaves open as the node on the host has it.
 * @throws FAILED_PRECONDITION (reason `cdi-host-device`) when it is needed from the host and isn't there
 */
export async function completeDevice(node: DeviceNode): Promise<RuntimeDevice> {
  const { path, type, major, minor, fileMode, uid, gid } = node;
  const hostPath = node.hostPath ?? path;
  const isEnough = type !== undefined && ((major ?? 0) !== 0 || type === "p");
  const host = await hostNode(hostPath);
  if (host === undefined && !isEnough) throw hostError(node, "a device node on the host", "none");
  if (host !== undefined && !isEnough && type !== undefined && !isSameType(type, host.type)) {
    throw hostError(node, `type ${type}`, `type ${host.type}`);
  }
  const wanted = type ?? host!.type;
  const numbers = isEnough || wanted === "p" ? { major: major ?? 0, minor: minor ?? 0 } : host!;
  return {
    path,
    type: wanted,
    ...(wanted !== "p" && { major: numbers.major, minor: numbers.minor }),
    ...definedOnly({ fileMode: fileMode ?? host?.fileMode, uid, gid }),
  };
}

function isSameType(wanted: string, actual: string): boolean {
  return wanted === actual || (wanted === "u" && actual === "c");
}

interface HostNode {
  readonly type: "b" | "c" | "p";
  readonly major: number;
  readonly minor: number;
  readonly fileMode: number;
}

async function hostNode(path: string): Promise<HostNode | undefined> {
  const stat = await lstat(path, { bigint: true }).catch(() => undefined); // Absent: the caller tells whether it may be.
  if (stat === undefined) return undefined;
  const mode = Number(stat.mode);
  const type = typesOfMode.get(mode & S_IFMT);
  if (type === undefined) return undefined;
  const device = stat.rdev;
  // gnu_dev_major() and gnu_dev_minor() of glibc.
  const major = ((device >> 8n) & 0xfffn) | ((device >> 32n) & 0xffff_f000n);
  const minor = (device & 0xffn) | ((device >> 12n) & 0xffff_ff00n);
  return { type, major: Number(major), minor: Number(minor), fileMode: mode & ~S_IFMT };
}

function hostError(node: DeviceNode, wanted: string, got: string): Error {
  const hostPath = node.hostPath ?? node.path;
  return failedPrecondition(`Cannot inject CDI device node ${hostPath}: want ${wanted}, got ${got}`, {
    subject: hostPath,
    reason: "cdi-host-device",
    hint: "Load the driver of the device, or renew its CDI spec",
  });
}

function definedOnly<T extends Record<string, number | undefined>>(values: T): { [K in keyof T]?: number } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: number;
  };
}
