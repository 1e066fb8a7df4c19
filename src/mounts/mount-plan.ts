import { invalidArgument, unimplemented } from "../errors/index.js";
import { type IdMapping, parseIdRanges } from "./id-mapping.js";
import {
  fileSystemFlags,
  MS_BIND,
  MS_REC,
  mountFlags,
  oppositeFlags,
  plainOptions,
  propagations,
} from "./mount-flags.js";
import type { MountSpec } from "./mount-spec.js";

/** A mount's options, taken apart. */
export interface MountPlan {
  readonly type: string;
  readonly source: string;
  readonly isBind: boolean;
  /** Of a bind: with what is mounted below. */
  readonly isRecursive: boolean;
  readonly isReadOnly: boolean;
  /** MS_* of the mount and of the file system. */
  readonly flags: number;
  /** The mount's MS_* alone, as MOUNT_ATTR_*. */
  readonly attributes: number;
  /** MS_* bits for calls of mount(2) of their own, in order. */
  readonly propagation: readonly number[];
  /** The source is a file that needs a loop device. */
  readonly isLoop: boolean;
  readonly idMapping: IdMapping | undefined;
  /** Flags of the file system by their names; they are among `flags` too. */
  readonly fileSystemFlags: readonly string[];
  /** The file system's own options in order; undefined is a flag. */
  readonly settings: readonly (readonly [string, string | undefined])[];
}

/** One mount's options. */
const OPTIONS_MAX = 1024;
/** All options of one mount together; 500 layers, as many as overlayfs takes, of the longest path fit. */
const OPTION_BYTES_MAX = 4 * 1024 * 1024;

/**
 * Takes a mount's options apart, as containerd's own mount code reads them.
 * @throws INVALID_ARGUMENT `mount-options-invalid`, `id-mapping-invalid`; UNIMPLEMENTED `mount-option-unsupported` for
 *   what only containerd's mount manager can do
 */
export function planMount(spec: MountSpec): MountPlan {
  checkSpec(spec);
  const on = new Set<string>();
  const maps: { uidmap?: string; gidmap?: string } = {};
  const settings: [string, string | undefined][] = [];
  const propagation: number[] = [];
  let isBind = spec.type === "bind" || spec.type === "rbind";
  let isRecursive = spec.type === "rbind";
  let isLoop = false;
  for (const option of spec.options) {
    const { key, value } = keyOf(option);
    const shared = propagations.get(option);
    const opposite = oppositeFlags.get(option);
    if (option === "" || plainOptions.has(option)) continue;
    if (option === "bind" || option === "rbind") {
      isBind = true;
      isRecursive ||= option === "rbind";
    } else if (option === "loop") isLoop = true;
    else if (shared !== undefined) propagation.push(shared);
    else if (mountFlags.has(option) || fileSystemFlags.has(option)) on.add(option);
    else if (opposite !== undefined) on.delete(opposite);
    else if ((key === "uidmap" || key === "gidmap") && value !== undefined) maps[key] = value;
    else if (key.startsWith("X-containerd.")) throw unsupported(spec, option);
    else settings.push([key, value]);
  }
  const bits = bitsOf(on);
  return {
    type: isBind ? "bind" : spec.type,
    source: spec.source,
    isBind,
    isRecursive,
    isReadOnly: on.has("ro"),
    flags: bits.flags | (isBind ? MS_BIND | (isRecursive ? MS_REC : 0) : 0),
    attributes: bits.attributes,
    propagation,
    isLoop,
    idMapping: mappingOf(spec, maps),
    // Subvolumes of btrfs share a file system: one of them may be read-only while another is written.
    fileSystemFlags: [...on].filter(
      (name) => fileSystemFlags.has(name) || (name === "ro" && spec.type !== "btrfs"),
    ),
    settings,
  };
}

function bitsOf(on: ReadonlySet<string>): { flags: number; attributes: number } {
  let flags = 0;
  let attributes = 0;
  for (const name of on) {
    const known = mountFlags.get(name);
    flags |= known?.flag ?? fileSystemFlags.get(name) ?? 0;
    attributes |= known?.attribute ?? 0;
  }
  return { flags, attributes };
}

function keyOf(option: string): { key: string; value: string | undefined } {
  const equals = option.indexOf("=");
  if (equals < 0) return { key: option, value: undefined };
  return { key: option.slice(0, equals), value: option.slice(equals + 1) };
}

function mappingOf(spec: MountSpec, maps: { uidmap?: string; gidmap?: string }): IdMapping | undefined {
  const { uidmap, gidmap } = maps;
  if (uidmap === undefined && gidmap === undefined) return undefined;
  if (uidmap === undefined || gidmap === undefined) {
    throw invalidArgument(
      `Cannot map the ids of ${spec.source}: want uidmap and gidmap, got one of them only`,
      {
        subject: spec.source,
        reason: "id-mapping-invalid",
      },
    );
  }
  return { uids: parseIdRanges(uidmap), gids: parseIdRanges(gidmap) };
}

function checkSpec(spec: MountSpec): void {
  const { type, source, target, options } = spec;
  const bytes = options.reduce((sum, option) => sum + option.length, 0);
  const why =
    options.length > OPTIONS_MAX || bytes > OPTION_BYTES_MAX
      ? `at most ${OPTIONS_MAX} options of ${OPTION_BYTES_MAX} bytes, got ${options.length} of ${bytes}`
      : [type, source, target, ...options].some((text) => text.includes("\0"))
        ? "no zero byte in a mount, got one"
        : type === ""
          ? "a type, got none"
          : undefined;
  if (why !== undefined) {
    throw invalidArgument(`Cannot mount ${source}: want ${why}`, {
      subject: source,
      reason: "mount-options-invalid",
    });
  }
  if (type.includes("/")) throw unsupported(spec, `type ${type}`);
}

function unsupported(spec: MountSpec, option: string) {
  return unimplemented(`Cannot mount ${spec.source}: ${option} is for containerd's mount manager`, {
    subject: spec.source,
    reason: "mount-option-unsupported",
    hint: "Let the client activate the mounts (containerd 2.2), or choose a snapshotter without such mounts",
  });
}
