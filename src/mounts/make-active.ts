import { realpath } from "node:fs/promises";
import { LazuliError } from "../errors/index.js";
import type { ActivateMounts, ActiveMount } from "./activation.js";
import type { ActivationFolder } from "./activation-folder.js";
import type { ActivationPlan, MountSteps } from "./activation-plan.js";
import { makeLoopLink } from "./loop-link.js";
import { makeFileSystem } from "./make-file-system.js";
import { makeFolders, type TransformOptions } from "./make-folders.js";
import { mountAll } from "./mount-all.js";
import type { MountSpec } from "./mount-spec.js";
import { filledIn } from "./mount-template.js";

export interface MakeActiveOptions extends TransformOptions {
  readonly folder: ActivationFolder;
  readonly request: ActivateMounts;
  readonly plan: ActivationPlan;
  /** Nanoseconds since 1970. */
  readonly now: () => bigint;
}

export interface MadeMounts {
  readonly active: readonly ActiveMount[];
  readonly system: readonly MountSpec[];
}

/** Makes the mounts of a plan in its folder, one after the other. What a failure leaves there is the caller's. */
export async function makeActive(options: MakeActiveOptions): Promise<MadeMounts> {
  const { request, plan } = options;
  const { mounts } = request;
  const active: ActiveMount[] = [];
  for (const [index, spec] of mounts.slice(0, plan.firstSystem).entries()) {
    options.signal?.throwIfAborted();
    const mount = await transformed(spec, plan.steps[index]!, active, options);
    active.push(await made(mount, index, options));
  }
  const system = [...mounts.slice(plan.firstSystem)];
  const first = system[0];
  if (first !== undefined) {
    system[0] = await transformed(first, plan.steps[plan.firstSystem]!, active, options);
  }
  const last = active.at(-1);
  if (request.isTemporary === true && last !== undefined) {
    system.push({ type: "bind", source: last.mountPoint, target: "", options: ["rbind"] });
  }
  return { active, system };
}

async function transformed(
  spec: MountSpec,
  { transforms, type }: MountSteps,
  active: readonly ActiveMount[],
  options: TransformOptions,
): Promise<MountSpec> {
  let mount: MountSpec = { ...spec, type: transforms.length === 0 ? spec.type : type };
  for (const transform of transforms) {
    if (transform === "format") mount = formatted(mount, active);
    else if (transform === "mkdir") mount = await makeFolders(mount, options);
    else mount = await makeFileSystem(mount, options);
  }
  return mount;
}

function formatted(mount: MountSpec, active: readonly ActiveMount[]): MountSpec {
  return {
    ...mount,
    source: filledIn(mount.source, active),
    target: filledIn(mount.target, active),
    options: mount.options.map((option) => filledIn(option, active)),
  };
}

async function made(mount: MountSpec, index: number, options: MakeActiveOptions): Promise<ActiveMount> {
  const { binding, folder, now, signal } = options;
  const isLoop = mount.type === "loop";
  try {
    if (isLoop) {
      const backing = await realpath(mount.source);
      await folder.noteBacking(index, backing);
      await makeLoopLink({ binding, link: folder.place(index), spec: mount, backing });
    } else {
      await mountAll({ binding, mounts: [mount], target: await folder.makePlace(index), signal });
    }
  } catch (thrown) {
    signal?.throwIfAborted();
    throw within(isLoop ? "mount handler failed" : "mount failed", thrown);
  }
  return { mount, mountedAt: now(), mountPoint: folder.place(index) };
}

/** The same error, said to be of what we did. */
function within(what: string, thrown: unknown): LazuliError {
  const { code, message, subject, hint, reason } = LazuliError.from(thrown);
  // That code is for lists without anything to handle.
  const told = code === "UNIMPLEMENTED" ? "FAILED_PRECONDITION" : code;
  return new LazuliError(told, `${what}: ${message}`, {
    ...(subject === undefined ? {} : { subject }),
    ...(hint === undefined ? {} : { hint }),
    ...(reason === undefined ? {} : { reason }),
    cause: thrown,
  });
}
