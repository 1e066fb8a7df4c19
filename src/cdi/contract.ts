import type { HookName, RuntimeHook, RuntimeRdt } from "./runtime-spec.js";

/** A CDI spec file (container-device-interface SPEC.md 1.1). */
export interface CdiSpec {
  /** Of the format, without a leading v. */
  readonly version: string;
  /** vendor/class. */
  readonly kind: string;
  readonly annotations: Readonly<Record<string, string>>;
  readonly devices: readonly CdiDevice[];
  /** Made when any device of the file is asked for. */
  readonly edits: ContainerEdits;
}

export interface CdiDevice {
  /** Without vendor and class. */
  readonly name: string;
  readonly annotations: Readonly<Record<string, string>>;
  readonly edits: ContainerEdits;
}

export interface ContainerEdits {
  readonly env: readonly string[];
  readonly deviceNodes: readonly DeviceNode[];
  readonly netDevices: readonly NetDevice[];
  readonly hooks: readonly CdiHook[];
  readonly mounts: readonly CdiMount[];
  readonly intelRdt: RuntimeRdt | undefined;
  readonly additionalGids: readonly number[];
}

export interface DeviceNode {
  readonly path: string;
  readonly hostPath: string | undefined;
  /** Undefined: as the node on the host is. */
  readonly type: "b" | "c" | "u" | "p" | undefined;
  readonly major: number | undefined;
  readonly minor: number | undefined;
  readonly fileMode: number | undefined;
  /** Letters of rwm, or "none". Undefined: rwm. */
  readonly permissions: string | undefined;
  readonly uid: number | undefined;
  readonly gid: number | undefined;
}

export interface NetDevice {
  readonly hostInterfaceName: string;
  readonly name: string;
}

export interface CdiHook {
  readonly hookName: HookName;
  readonly hook: RuntimeHook;
}

export interface CdiMount {
  readonly hostPath: string;
  readonly containerPath: string;
  readonly type: string | undefined;
  readonly options: readonly string[];
}
