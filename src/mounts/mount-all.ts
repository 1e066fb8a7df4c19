import { invalidArgument } from "../errors/index.js";
import { mountError } from "./mount-error.js";
import type { MountBinding, MountSpec } from "./mount-spec.js";
import { placeMount } from "./place-mount.js";
import { detachQuietly, unmountOne } from "./undo.js";

export interface MountAllOptions {
  readonly binding: MountBinding;
  /** In order: a later one may lie in an earlier one. */
  readonly mounts: readonly MountSpec[];
  /** An absolute path of a folder, or of a file for a bind of one. */
  readonly target: string;
  readonly signal?: AbortSignal | undefined;
}

/** Mounts of one list; containerd's have a few. */
const MOUNTS_MAX = 1024;
/** Mounts on top of each other at one place. */
const STACK_MAX = 1024;

/**
 * Mounts a list as containerd gives it: all of it, or nothing, also when `signal` fires; then the call that the kernel is
 * in ends first. Nobody sees a bind before its flags are set, where Linux is 5.12 or newer.
 * @throws LazuliError whose message ends in the kernel's reason: INVALID_ARGUMENT `mount-refused`, `mount-options-invalid`,
 *   `id-mapping-invalid`; NOT_FOUND `mount-path-missing`; FAILED_PRECONDITION `file-system-unknown`, `idmap-unsupported`,
 *   `mount-busy` …; UNIMPLEMENTED `mount-option-unsupported`
 */
export async function mountAll(options: MountAllOptions): Promise<void> {
  const { binding, mounts, target, signal } = options;
  checkList(mounts, target);
  const placed: string[] = [];
  try {
    for (const spec of mounts) {
      signal?.throwIfAborted();
      const place = await placeOf(binding, spec, target);
      await placeMount({ binding, spec, target: place, signal });
      placed.push(place);
    }
    signal?.throwIfAborted();
  } catch (thrown) {
    for (const place of placed.reverse()) await detachQuietly(binding, place);
    throw thrown;
  }
}

export interface UnmountAllOptions {
  readonly binding: MountBinding;
  /** As they were mounted. Without them all that is mounted on the target goes. */
  readonly mounts?: readonly MountSpec[] | undefined;
  readonly target: string;
  readonly signal?: AbortSignal | undefined;
}

/** Takes a list's mounts away again, last first; who still uses one keeps it. What isn't mounted is fine. */
export async function unmountAll(options: UnmountAllOptions): Promise<void> {
  const { binding, mounts, target, signal } = options;
  if (mounts === undefined) {
    for (let count = 0; count < STACK_MAX; count += 1) {
      signal?.throwIfAborted();
      if (!(await unmountOne(binding, target))) return;
    }
    return;
  }
  checkList(mounts, target);
  for (const spec of mounts.toReversed()) {
    signal?.throwIfAborted();
    await unmountOne(binding, await placeOf(binding, spec, target));
  }
}

function checkList(mounts: readonly MountSpec[], target: string): void {
  if (target.startsWith("/") && mounts.length <= MOUNTS_MAX) return;
  const actual = target.startsWith("/") ? `${mounts.length} mounts` : target;
  throw invalidArgument(
    `Cannot mount on ${target}: want an absolute path and at most ${MOUNTS_MAX} mounts, got ${actual}`,
    { subject: target, reason: "mount-options-invalid" },
  );
}

/** Below the target, whatever links an image has there. */
async function placeOf(binding: MountBinding, spec: MountSpec, target: string): Promise<string> {
  if (spec.target === "" || spec.target === "/") return target;
  try {
    return await binding.mounts.resolve(target, spec.target);
  } catch (thrown) {
    throw mountError(thrown, { ...spec, target: `${target}/${spec.target}` });
  }
}
