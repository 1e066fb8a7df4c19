import { Worker } from "node:worker_threads";
import { type Deferred, deferred } from "../../async/index.js";
import { unavailable } from "../../errors/index.js";
import type { LinkReply, LinkRequest } from "./link-worker.js";

/** What is known of a link from outside its thread. */
export interface LinkState {
  readonly port: number;
  /** Since the link was set. */
  readonly bytesDown: number;
}

/**
 * A link on a thread of its own: whoever reads a file of a lazy mount while a link is on its thread waits for itself, and
 * times don't hang on what else the measuring thread does.
 */
export class LinkThread implements AsyncDisposable {
  readonly #worker = new Worker(new URL("./link-worker.js", import.meta.url), { env: {} });
  /** As many as callers wait. */
  readonly #waiting = new Map<number, Deferred<LinkState>>();
  #requests = 0;

  constructor() {
    this.#worker.on("message", (reply: LinkReply) => {
      const waiting = this.#waiting.get(reply.id);
      this.#waiting.delete(reply.id);
      if (reply.isUp) waiting?.resolve(reply);
      else waiting?.reject(linkFailed(reply.message));
    });
    this.#worker.on("error", (error) => this.#drop(error.message));
    this.#worker.on("exit", () => this.#drop("its thread ended"));
  }

  /** Breaks all connections and goes on with another link. @throws UNAVAILABLE `link-failed` */
  async set(options: Exclude<LinkRequest["options"], "end" | undefined>): Promise<LinkState> {
    return await this.#ask(options);
  }

  /** @throws UNAVAILABLE `link-failed` */
  async state(): Promise<LinkState> {
    return await this.#ask(undefined);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Not terminate(): Node 20 may spin for ever in a thread that is ended with open sockets.
    const ended = new Promise<void>((resolve) => this.#worker.once("exit", () => resolve()));
    await this.#ask("end");
    await ended;
  }

  async #ask(options: LinkRequest["options"]): Promise<LinkState> {
    this.#requests += 1;
    const waiting = deferred<LinkState>();
    this.#waiting.set(this.#requests, waiting);
    this.#worker.postMessage({ id: this.#requests, options } satisfies LinkRequest);
    return await waiting.promise;
  }

  #drop(problem: string): void {
    for (const waiting of this.#waiting.values()) waiting.reject(linkFailed(problem));
    this.#waiting.clear();
  }
}

function linkFailed(problem: string): Error {
  return unavailable(`Cannot carry bytes over the link: ${problem}`, { reason: "link-failed" });
}
