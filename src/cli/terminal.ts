import { Transform } from "node:stream";
import type { ContainerProcess } from "../client/index.js";

/** Ctrl-P, Ctrl-Q: Docker's way out of a container that goes on. */
export const DETACH_KEYS: Buffer = Buffer.from([0x10, 0x11]);

/** Signals that go on to the container. SIGCHLD, SIGPIPE and the like are this process's own. */
const forwarded = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"] as const;

/** Keys pass until the sequence comes; a part of it that goes on otherwise is passed as well. */
export class DetachFilter extends Transform {
  #matched = 0;
  readonly #onDetach: () => void;

  constructor(onDetach: () => void) {
    super();
    this.#onDetach = onDetach;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    const passed: number[] = [];
    for (const byte of chunk) {
      if (byte === DETACH_KEYS[this.#matched]) {
        this.#matched += 1;
        if (this.#matched < DETACH_KEYS.length) continue;
        this.#matched = 0;
        this.#onDetach();
        break;
      }
      passed.push(...DETACH_KEYS.subarray(0, this.#matched), byte);
      this.#matched = 0;
    }
    if (passed.length > 0) this.push(Buffer.from(passed));
    done();
  }
}

/** Each key at once, and none that means something here. Undone when disposed. */
export function rawTerminal(): Disposable {
  if (process.stdin.isTTY !== true) return { [Symbol.dispose]: () => undefined };
  process.stdin.setRawMode(true);
  return {
    [Symbol.dispose]: () => {
      process.stdin.setRawMode(false);
      process.stdin.pause();
    },
  };
}

/** The container's terminal is as large as ours, now and whenever ours changes. */
export function followSize(target: ContainerProcess): Disposable {
  const send = (): void => {
    const { columns, rows } = process.stdout;
    if (!columns || !rows) return;
    // The process may have ended meanwhile, which is no matter for a size.
    target.resize({ columns, rows }).catch(() => undefined);
  };
  send();
  process.stdout.on("resize", send);
  return { [Symbol.dispose]: () => void process.stdout.off("resize", send) };
}

/** What this process is sent, the container's gets. */
export function forwardSignals(target: ContainerProcess): Disposable {
  const handlers = forwarded.map((name) => {
    const handler = (): void => {
      target.kill(name).catch(() => undefined); // It has ended: its exit code is on the way.
    };
    process.on(name, handler);
    return { name, handler };
  });
  return {
    [Symbol.dispose]: () => {
      for (const { name, handler } of handlers) process.off(name, handler);
    },
  };
}
