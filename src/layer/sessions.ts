import { closeSync } from "node:fs";
import { LazuliError } from "../errors/index.js";
import {
  type DescriptorStore,
  mountFuse,
  type NativeBinding,
  type NativePlane,
  type StoredDescriptor,
  unmountFuse,
} from "../fuse/index.js";
import { log } from "../observe/index.js";
import { deviceAt } from "./mount-table.js";

/** What the facts of a stored descriptor begin with; others are of a release that numbers nodes in another way. */
const FACTS_VERSION = "v=1";

/** Sessions that an earlier process has left, whose mounts wait for answers. */
export interface StoredSessions {
  /** The newest flat one is the last. */
  readonly flats: readonly StoredSession[];
  /** By the number of the layer. */
  readonly trees: ReadonlyMap<number, StoredSession>;
}

export interface StoredSession extends StoredDescriptor {
  /** Of its mount, as mountinfo has it: "0:57". */
  readonly device: string;
  /** EROFS on it is mounted with direct reads. */
  readonly isDirect: boolean;
}

export interface SessionsOptions {
  readonly binding: NativeBinding;
  readonly plane: NativePlane;
  /** undefined: the mounts end with the process. */
  readonly store: DescriptorStore | undefined;
}

/** The plane's FUSE sessions, and copies of their descriptors outside of the process. */
export class Sessions {
  readonly #options: SessionsOptions;
  /** Descriptors of open sessions; undefined facts: not to be stored. */
  readonly #open = new Map<number, { readonly fd: number; stored: StoredDescriptor | undefined }>();
  #isRestoring = false;

  constructor(options: SessionsOptions) {
    this.#options = options;
    options.store?.onLost(() => void this.#restore());
  }

  /** Whether a process that comes after this one goes on with what is open. */
  get areStored(): boolean {
    return [...this.#open.values()].some(({ stored }) => stored !== undefined);
  }

  /** What an earlier process has left and is still mounted. */
  async find(): Promise<StoredSessions> {
    const flats: StoredSession[] = [];
    const trees = new Map<number, StoredSession>();
    for (const found of await this.#taken()) {
      const session = this.#sessionOf(found);
      const [kind, first] = found.name.split("-");
      const number = Number(first);
      if (session !== undefined && kind === "flat") flats.push(session);
      else if (session !== undefined && kind === "tree" && !trees.has(number)) trees.set(number, session);
      else await this.forget(found);
    }
    return { flats, trees };
  }

  /** Answers for a stored session from now on. The layers that it serves are in the plane. undefined: it can't be. */
  async adopt(
    stored: StoredSession,
    options: { readonly kind: number; readonly layer: number },
  ): Promise<number | undefined> {
    try {
      const session = this.#options.plane.openSession({ ...options, fuseFd: stored.fd, adopted: true });
      this.#open.set(session, { fd: stored.fd, stored });
      return session;
    } catch (thrown) {
      log.warn("Cannot go on with a FUSE session of an earlier process", {
        session: stored.name,
        error: LazuliError.from(thrown).message,
      });
      await this.forget(stored);
      return undefined;
    }
  }

  /** Opens a session and mounts it. @throws Error with `code` of the system call */
  async mount(options: {
    readonly kind: number;
    readonly layer: number;
    readonly fuseFd: number;
    readonly target: string;
  }): Promise<number> {
    const { binding, plane } = this.#options;
    const { kind, layer, fuseFd, target } = options;
    const session = plane.openSession({ kind, layer, fuseFd, adopted: false });
    this.#open.set(session, { fd: fuseFd, stored: undefined });
    try {
      await mountFuse({ binding, fuseFd, target, kind });
    } catch (thrown) {
      await this.close(session);
      throw thrown;
    }
    return session;
  }

  /** Stores a mounted session, where that is of use. A failure is told: the mount ends with the process then. */
  async keep(
    session: number,
    options: { readonly name: string; readonly target: string; readonly isDirect?: boolean },
  ): Promise<void> {
    const { store, binding } = this.#options;
    const entry = this.#open.get(session);
    if (store === undefined || entry === undefined) return;
    try {
      if (!binding.askToResend(entry.fd)) {
        log.warn("Layers end with this process: want Linux 6.9, where another one can go on");
        return;
      }
      const device = (await deviceAt(options.target)) ?? "0:0";
      const { fd } = entry;
      const short = device.replace(":", ".");
      const facts = `${FACTS_VERSION},device=${short},direct=${options.isDirect ? 1 : 0}`;
      entry.stored = { name: `${options.name}-${short}`, facts, fd };
      await store.put(entry.stored);
    } catch (thrown) {
      log.warn("Cannot keep a FUSE mount for the next process", {
        path: options.target,
        error: LazuliError.from(thrown).message,
      });
    }
  }

  /** Ends a session, whose mount is gone. */
  async close(session: number): Promise<void> {
    const entry = this.#open.get(session);
    this.#open.delete(session);
    this.#options.plane.closeSession(session);
    if (entry?.stored !== undefined) await this.#drop(entry.stored.name);
  }

  /** Detaches the flat mount and ends what is open: no layer is mounted on it. */
  async end(target: string): Promise<void> {
    // Somebody else may have taken it away.
    await unmountFuse(this.#options.binding, target).catch(() => undefined);
    for (const session of [...this.#open.keys()]) await this.close(session);
  }

  async forget({ name, fd }: StoredDescriptor): Promise<void> {
    closeSync(fd);
    await this.#drop(name);
  }

  /** Puts all again: the store has lost them. */
  async #restore(): Promise<void> {
    const { store } = this.#options;
    if (store === undefined || this.#isRestoring) return;
    this.#isRestoring = true;
    const entries = [...this.#open.values()];
    try {
      for (const { stored } of entries) if (stored !== undefined) await store.put(stored);
      log.warn("Stored the FUSE sessions again, since their keeper ended", { sessions: entries.length });
    } catch (thrown) {
      log.error("Cannot keep the FUSE mounts for the next process", {
        error: LazuliError.from(thrown).message,
      });
    } finally {
      this.#isRestoring = false;
    }
  }

  async #taken(): Promise<readonly StoredDescriptor[]> {
    try {
      return (await this.#options.store?.take()) ?? [];
    } catch (thrown) {
      log.warn("Cannot ask for the FUSE sessions of an earlier process", {
        error: LazuliError.from(thrown).message,
      });
      return [];
    }
  }

  /** undefined: of another release, or its mount is gone. */
  #sessionOf(found: StoredDescriptor): StoredSession | undefined {
    const facts = new Map(found.facts.split(",").map((fact) => fact.split("=") as [string, string]));
    if (!found.facts.startsWith(`${FACTS_VERSION},`)) return undefined;
    try {
      if (!this.#options.binding.askToResend(found.fd)) return undefined;
    } catch {
      // Everybody has left the mount: nothing waits on it.
      return undefined;
    }
    const device = (facts.get("device") ?? "").replace(".", ":");
    return { ...found, device, isDirect: facts.get("direct") === "1" };
  }

  async #drop(name: string): Promise<void> {
    try {
      await this.#options.store?.drop(name);
    } catch (thrown) {
      // The next process finds it, sees that its mount is gone, and drops it.
      log.debug("Cannot take a FUSE session out of its store", { session: name, error: String(thrown) });
    }
  }
}
