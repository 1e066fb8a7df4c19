import type { AnyValue, SandboxRequest } from "../metadata/index.js";
import type { Mount } from "../snapshotters/index.js";

/** Nanoseconds since 1970. */
type Nanoseconds = bigint;

/** A sandbox of a namespace. */
export interface SandboxName {
  readonly namespace: string;
  readonly id: string;
}

export interface CreateSandbox extends SandboxName {
  /** Its record, which need not be in the store. */
  readonly sandbox: SandboxRequest;
  readonly rootfs: readonly Mount[];
  readonly options: AnyValue | undefined;
  /** "" for none. */
  readonly netnsPath: string;
  readonly annotations: Readonly<Record<string, string>>;
}

export interface StartedSandbox {
  readonly pid: number;
  readonly createdAt: Nanoseconds;
  readonly labels: Readonly<Record<string, string>>;
  /** Where the tasks of the sandbox are served, and the version of their API; "" and 0 when nobody serves them. */
  readonly address: string;
  readonly version: number;
  readonly spec: AnyValue | undefined;
}

export interface SandboxPlatform {
  readonly os: string;
  readonly architecture: string;
  readonly variant: string;
}

export interface SandboxExit {
  readonly exitStatus: number;
  readonly exitedAt: Nanoseconds;
}

export interface SandboxStatus {
  readonly pid: number;
  /** A word of the controller's own, e.g. `SANDBOX_READY`. */
  readonly state: string;
  readonly info: Readonly<Record<string, string>>;
  /** Undefined: not known. */
  readonly createdAt: Nanoseconds | undefined;
  readonly exitedAt: Nanoseconds | undefined;
  readonly extra: AnyValue | undefined;
  readonly address: string;
  readonly version: number;
}

export interface SandboxMetrics {
  readonly id: string;
  readonly timestamp: Nanoseconds | undefined;
  readonly data: AnyValue | undefined;
}

export interface UpdateSandbox extends SandboxName {
  readonly sandbox: SandboxRequest;
  readonly fields: readonly string[];
}

interface CallOptions {
  readonly signal?: AbortSignal | undefined;
}

/** Runs sandboxes, as containerd's `core/sandbox.Controller`: `shim`, `podsandbox` or one that is plugged in. */
export interface SandboxController {
  /** @throws ALREADY_EXISTS */
  create(request: CreateSandbox, options?: CallOptions): Promise<void>;
  /** @throws NOT_FOUND */
  start(name: SandboxName, options?: CallOptions): Promise<StartedSandbox>;
  /** @throws NOT_FOUND */
  platform(name: SandboxName, options?: CallOptions): Promise<SandboxPlatform>;
  /** Nothing happens to a sandbox that nobody knows. `timeoutMs` 0: the controller's own. */
  stop(request: SandboxName & { readonly timeoutMs: number }, options?: CallOptions): Promise<void>;
  /** Until the sandbox has ended. @throws NOT_FOUND */
  wait(name: SandboxName, options?: CallOptions): Promise<SandboxExit>;
  /** A sandbox that nobody knows has exited now. */
  status(
    request: SandboxName & { readonly isVerbose: boolean },
    options?: CallOptions,
  ): Promise<SandboxStatus>;
  /** Ends and forgets it. @throws NOT_FOUND */
  shutdown(name: SandboxName, options?: CallOptions): Promise<void>;
  /** @throws NOT_FOUND */
  metrics(name: SandboxName, options?: CallOptions): Promise<SandboxMetrics>;
  update(request: UpdateSandbox, options?: CallOptions): Promise<void>;
}
