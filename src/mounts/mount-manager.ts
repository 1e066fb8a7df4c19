import { mkdir, readdir, realpath } from "node:fs/promises";
import { join } from "node:path";
import { KeyedQueue } from "../async/index.js";
import {
  alreadyExists,
  invalidArgument,
  LazuliError,
  notFound,
  resourceExhausted,
  unimplemented,
} from "../errors/index.js";
import { log } from "../observe/index.js";
import type { ActivateMounts, Activation, ActivationName, HeldActivation } from "./activation.js";
import { ActivationFolder } from "./activation-folder.js";
import { type ActivationPlan, planActivation } from "./activation-plan.js";
import { makeActive } from "./make-active.js";
import { readMountInfo } from "./mount-info.js";
import type { MountBinding } from "./mount-spec.js";

export interface MountManagerOptions {
  readonly binding: MountBinding;
  /** Private folder, of this manager alone; its mounts lie in it. */
  readonly folder: string;
  /** Further folders in which `mkdir/` and `mkfs/` may work. */
  readonly roots: readonly string[];
  /** Nanoseconds since 1970. */
  readonly now: () => bigint;
}

interface CallOptions {
  readonly signal?: AbortSignal | undefined;
}

/** Mounts of types that mount(2) alone can't make, each list under a name, as containerd's mount manager. */
export interface MountManager {
  /**
   * Makes all that has to be made before the rest, or nothing.
   * @throws UNIMPLEMENTED `mounts-plain` exactly when there is nothing to handle; ALREADY_EXISTS; INVALID_ARGUMENT; what
   *   a mount throws
   */
  activate(request: ActivateMounts, options?: CallOptions): Promise<Activation>;
  /** @throws NOT_FOUND */
  deactivate(name: ActivationName): Promise<void>;
  /** @throws NOT_FOUND */
  info(name: ActivationName): Activation;
  /** Gives it other labels. @throws NOT_FOUND */
  label(request: ActivationName & { readonly labels: Activation["labels"] }): Promise<Activation>;
  /** Of one namespace, or of all, by their names. */
  list(namespace?: string): readonly HeldActivation[];
}

/** Activations at a time; further ones are refused. A node runs a few hundred containers. */
const ACTIVATIONS_MAX = 65_536;
/** Mounts of one list. */
const MOUNTS_MAX = 255;

/** Opens the manager with the activations of before whose mounts are all there; what was half done is taken away first. */
export async function openMountManager(options: MountManagerOptions): Promise<MountManager> {
  await mkdir(options.folder, { recursive: true, mode: 0o700 });
  // Mount points are told to clients and looked for in the kernel's list: one spelling.
  const folder = await realpath(options.folder);
  const found: Held[] = [];
  let lastId = 0;
  const mounts = await readMountInfo();
  for (const name of (await readdir(folder)).filter((entry) => /^\d{1,15}$/.test(entry))) {
    lastId = Math.max(lastId, Number(name));
    const place = new ActivationFolder(join(folder, name));
    const activation = await place.read(mounts);
    if (activation === undefined) await clearQuietly(place, options.binding);
    else found.push({ activation, folder: place });
  }
  return new FolderMountManager({ ...options, folder }, found, lastId);
}

interface Held {
  readonly activation: HeldActivation;
  readonly folder: ActivationFolder;
}

class FolderMountManager implements MountManager {
  readonly #options: MountManagerOptions;
  readonly #roots: readonly string[];
  readonly #held = new Map<string, Held>();
  readonly #queue = new KeyedQueue<string>();
  #lastId: number;

  constructor(options: MountManagerOptions, found: readonly Held[], lastId: number) {
    this.#options = options;
    this.#roots = [options.folder, ...options.roots];
    for (const held of found) this.#held.set(keyOf(held.activation), held);
    this.#lastId = lastId;
  }

  async activate(request: ActivateMounts, { signal }: CallOptions = {}): Promise<Activation> {
    const { name, mounts } = request;
    if (name === "" || mounts.length > MOUNTS_MAX) {
      throw invalidArgument(
        `Cannot activate mounts ${JSON.stringify(name)}: want a name and at most ${MOUNTS_MAX} mounts, got ${mounts.length}`,
        { subject: name, reason: "activation-invalid" },
      );
    }
    const plan = planActivation(request);
    // Clients look for this code alone; containerd's has no more words.
    if (plan === undefined) throw unimplemented("not implemented", { subject: name, reason: "mounts-plain" });
    return await this.#queue.run(keyOf(request), async () => {
      signal?.throwIfAborted();
      if (this.#held.has(keyOf(request))) {
        throw alreadyExists(`mount ${JSON.stringify(name)}`, { subject: name, reason: "activation-exists" });
      }
      if (this.#held.size >= ACTIVATIONS_MAX) {
        throw resourceExhausted(`Cannot activate mounts: want at most ${ACTIVATIONS_MAX}, got as many`, {
          subject: name,
          reason: "activations-full",
        });
      }
      return await this.#make(request, plan, signal);
    });
  }

  async deactivate(name: ActivationName): Promise<void> {
    await this.#queue.run(keyOf(name), async () => {
      const { folder } = this.#get(name);
      await folder.removeRecord();
      this.#held.delete(keyOf(name));
      await folder.clear(this.#options.binding);
    });
  }

  info(name: ActivationName): Activation {
    return this.#get(name).activation;
  }

  async label(request: ActivationName & { readonly labels: Activation["labels"] }): Promise<Activation> {
    return await this.#queue.run(keyOf(request), async () => {
      const { activation, folder } = this.#get(request);
      const next = { ...activation, labels: { ...request.labels } };
      await folder.write(next);
      this.#held.set(keyOf(request), { activation: next, folder });
      return next;
    });
  }

  list(namespace?: string): readonly HeldActivation[] {
    return [...this.#held.values()]
      .map(({ activation }) => activation)
      .filter((activation) => namespace === undefined || activation.namespace === namespace)
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  async #make(
    request: ActivateMounts,
    plan: ActivationPlan,
    signal: AbortSignal | undefined,
  ): Promise<Activation> {
    const { binding, now } = this.#options;
    const { namespace, name, labels, lease } = request;
    this.#lastId += 1;
    const folder = new ActivationFolder(join(this.#options.folder, String(this.#lastId)));
    await mkdir(folder.path, { mode: 0o700 });
    try {
      const made = await makeActive({ binding, now, folder, request, plan, roots: this.#roots, signal });
      const activation = { namespace, name, labels: { ...labels }, lease, ...made };
      await folder.write(activation);
      this.#held.set(keyOf(request), { activation, folder });
      return activation;
    } catch (thrown) {
      await clearQuietly(folder, binding);
      throw thrown;
    }
  }

  #get({ namespace, name }: ActivationName): Held {
    const held = this.#held.get(keyOf({ namespace, name }));
    if (held === undefined) {
      throw notFound(`mount ${JSON.stringify(name)}`, { subject: name, reason: "activation-missing" });
    }
    return held;
  }
}

function keyOf({ namespace, name }: ActivationName): string {
  return `${namespace}/${name}`;
}

/** Where there is a failure on its way already, or nobody to tell; the next start tries again. */
async function clearQuietly(folder: ActivationFolder, binding: MountBinding): Promise<void> {
  try {
    await folder.clear(binding);
  } catch (thrown) {
    const { message } = LazuliError.from(thrown);
    log.warn("Cannot take what was mounted away", { path: folder.path, error: message });
  }
}
