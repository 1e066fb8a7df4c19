import { type Deferred, deferred, withSignal } from "../async/index.js";
import { failedPrecondition } from "../errors/index.js";
import type { ContainerIo } from "./contract.js";

/** What is known of a container while this process runs, beside what is stored. */
export interface ContainerLife {
  /** Only one start or removal at a time, and not both. */
  phase: "starting" | "removing" | undefined;
  io: ContainerIo | undefined;
  /** The stop signal is sent once, however often a kubelet asks. */
  isStopSignalled: boolean;
  /** Somebody waits for the end of its task. */
  isWatched: boolean;
  readonly ended: Deferred<void>;
}

/** One life for each container in the store, made when it is first asked for. */
export class ContainerLives {
  readonly #lives = new Map<string, ContainerLife>();

  of(id: string): ContainerLife {
    const known = this.#lives.get(id);
    if (known !== undefined) return known;
    const life: ContainerLife = {
      phase: undefined,
      io: undefined,
      isStopSignalled: false,
      isWatched: false,
      ended: deferred(),
    };
    this.#lives.set(id, life);
    return life;
  }

  /** @throws FAILED_PRECONDITION `container-busy` */
  enter(id: string, phase: "starting" | "removing"): Disposable {
    const life = this.of(id);
    if (life.phase !== undefined) {
      const what = phase === "starting" ? "started" : "removed";
      throw failedPrecondition(`container is already in ${life.phase} state, can't be ${what}`, {
        subject: id,
        reason: "container-busy",
      });
    }
    life.phase = phase;
    return {
      [Symbol.dispose]: () => {
        life.phase = undefined;
      },
    };
  }

  async waitEnded(id: string, signal: AbortSignal | undefined): Promise<void> {
    await withSignal(this.of(id).ended.promise, signal);
  }

  forget(id: string): void {
    this.#lives.delete(id);
  }

  /** Lets go of all pipes; the processes run on. */
  async close(): Promise<void> {
    const lives = [...this.#lives.values()];
    this.#lives.clear();
    await Promise.all(lives.map(async ({ io }) => await io?.letGo()));
  }
}
