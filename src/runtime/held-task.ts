import { LazuliError } from "../errors/index.js";
import type { EventExchange } from "../events/index.js";
import { log } from "../observe/index.js";
import { deleteBundle } from "./bundle.js";
import type { ProcessExit, TaskName } from "./contract.js";
import { publishDeadTask } from "./event-messages.js";
import { deleteDead, type Shim, type ShimSettings } from "./shim.js";

/** containerd's word for an exit that nobody saw. */
const UNKNOWN_EXIT_STATUS = 255;

export interface HeldTaskOptions {
  readonly settings: ShimSettings;
  readonly shim: Shim;
  readonly pid: number;
  readonly events: EventExchange;
  readonly now: () => bigint;
  /** The task is no more, for whatever reason. */
  readonly onGone: () => void;
}

/** A task and its shim, until one of them ends. */
export class HeldTask {
  readonly shim: Shim;
  readonly #options: HeldTaskOptions;
  /** The end of the connection is ours, or of no more interest. */
  #isReleased = false;
  #dead: Promise<ProcessExit> | undefined;
  pid: number;

  constructor(options: HeldTaskOptions) {
    this.#options = options;
    this.shim = options.shim;
    this.pid = options.pid;
    void options.shim.connection.closed.then(() => {
      if (!this.#isReleased) this.#afterDeath().catch(() => undefined);
    });
  }

  get name(): TaskName {
    return this.shim.bundle;
  }

  get isReleased(): boolean {
    return this.#isReleased;
  }

  /** The shim ended by itself; what the task had is taken away, or was. */
  get isDead(): boolean {
    return this.#dead !== undefined;
  }

  /** The shim is left alone. */
  release(): void {
    this.#isReleased = true;
    this.shim.close();
  }

  /** The exit of the task that a dead shim had. */
  exitAfterDeath(): Promise<ProcessExit> {
    return this.#dead ?? this.#afterDeath();
  }

  /** After the shim has deleted its task: ends the shim, unless it is a sandbox's, and takes the bundle away. */
  async dispose(): Promise<void> {
    this.#isReleased = true;
    if (this.shim.sandboxId === "") await shutDown(this.shim, this.#options.settings);
    this.shim.close();
    try {
      await deleteBundle(this.shim.bundle, this.#options.settings.binding);
    } finally {
      this.#options.onGone();
    }
  }

  #afterDeath(): Promise<ProcessExit> {
    this.#dead ??= this.#cleanUp();
    // Who waits for the exit sees it fail; who does not has the log.
    this.#dead.catch(() => undefined);
    return this.#dead;
  }

  async #cleanUp(): Promise<ProcessExit> {
    const { settings, events, now } = this.#options;
    const { bundle, program } = this.shim;
    log.warn("A shim has gone away; cleaning up after it", { id: bundle.id, namespace: bundle.namespace });
    let exit: ProcessExit = { pid: this.pid, exitStatus: UNKNOWN_EXIT_STATUS, exitedAt: now() };
    try {
      exit = (await deleteDead(settings, { bundle, program })) ?? exit;
    } catch (thrown) {
      const { message } = LazuliError.from(thrown);
      log.error("Cannot delete a bundle", { id: bundle.id, error: message });
    }
    if (exit.pid === 0) exit = { ...exit, pid: this.pid };
    this.#isReleased = true;
    this.shim.close();
    publishDeadTask(events, { ...this.name, exit });
    this.#options.onGone();
    return exit;
  }
}

/** Asks a shim to end; one that does not answer is killed, so that it does not stay forever. */
export async function shutDown(shim: Shim, { timeouts }: ShimSettings): Promise<void> {
  try {
    await shim.tasks.call("shutdown", { id: shim.bundle.id }, { timeoutMs: timeouts.shutdownMs });
  } catch (thrown) {
    const error = LazuliError.from(thrown);
    // A shim may end before its answer is out.
    if (error.reason === "shim-closed") return;
    log.warn("Cannot shut a shim down", { id: shim.bundle.id, error: error.message });
    if (error.reason === "shim-slow") killShim(shim);
  }
}

/** The connection is open, so the process is the shim still. */
function killShim({ pid, bundle }: Shim): void {
  if (pid === undefined) return;
  try {
    process.kill(pid, "SIGKILL");
  } catch (thrown) {
    log.warn("Cannot end a shim", { id: bundle.id, error: String(thrown) });
  }
}
