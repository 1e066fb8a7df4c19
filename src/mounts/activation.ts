import type { MountSpec } from "./mount-spec.js";

/** A mount that the manager has made. */
export interface ActiveMount {
  /** As it was made: without the prefixes of its type, with its templates filled in. */
  readonly mount: MountSpec;
  /** Nanoseconds since 1970. */
  readonly mountedAt: bigint;
  /** A folder or a file; of a loop device a link to it. */
  readonly mountPoint: string;
}

export interface Activation {
  readonly name: string;
  readonly active: readonly ActiveMount[];
  /** What is still to be mounted by who asked. */
  readonly system: readonly MountSpec[];
  readonly labels: Readonly<Record<string, string>>;
}

export interface ActivationName {
  readonly namespace: string;
  readonly name: string;
}

export interface ActivateMounts extends ActivationName {
  readonly mounts: readonly MountSpec[];
  readonly labels: Readonly<Record<string, string>>;
  /** All of them are made, and `system` is a bind of the last. */
  readonly isTemporary?: boolean;
  /** Types that who asked handles itself: `loop`, `format/*`, `mkdir/overlay` … */
  readonly allowedTypes?: readonly string[];
  /** The lease that holds it. */
  readonly lease?: string | undefined;
}

/** An activation with what its collection needs. */
export interface HeldActivation extends ActivationName, Activation {
  readonly lease: string | undefined;
}
