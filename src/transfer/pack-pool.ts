import { Worker } from "node:worker_threads";
import { type Deferred, deferred } from "../async/index.js";
import { internal } from "../errors/index.js";
import type { PackReply, PackRequest } from "./pack-worker.js";

export type Packed = Extract<PackReply, { isPacked: true }>;

/** Requests that lie at one thread: one in work, and one so that it need not wait for the next. */
const REQUESTS_PER_WORKER = 2;

interface Hand {
  readonly worker: Worker;
  readonly requests: Map<number, Deferred<Packed>>;
}

interface Waiting {
  readonly request: PackRequest;
  readonly answer: Deferred<Packed>;
}

/**
 * Threads that compress and hash, shared by all layers of a conversion. What they make does not depend on how many they
 * are. A caller bounds the requests that it has under way: here they wait in memory.
 */
export class PackPool implements AsyncDisposable {
  readonly #size: number;
  readonly #hands: Hand[] = [];
  readonly #waiting: Waiting[] = [];
  #nextId = 0;

  constructor(options: { readonly workers: number }) {
    this.#size = Math.max(1, options.workers);
  }

  get workers(): number {
    return this.#size;
  }

  /** The memory of `bytes` changes hands. @throws INTERNAL `pack-failed` */
  async pack(request: Omit<PackRequest, "id">): Promise<Packed> {
    const answer = deferred<Packed>();
    this.#waiting.push({ request: { ...request, id: this.#nextId++ }, answer });
    this.#hand();
    return await answer.promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const hands = this.#hands.splice(0);
    for (const { answer } of this.#waiting.splice(0)) answer.reject(packFailed("the conversion has ended"));
    await Promise.all(hands.map(({ worker }) => worker.terminate()));
  }

  #hand(): void {
    while (this.#waiting.length > 0) {
      const hand = this.#freest();
      if (hand === undefined) return;
      const { request, answer } = this.#waiting.shift()!;
      hand.requests.set(request.id, answer);
      hand.worker.postMessage(request, [request.bytes.buffer as ArrayBuffer]);
    }
  }

  #freest(): Hand | undefined {
    const least = this.#hands.reduce<Hand | undefined>(
      (found, hand) => (found === undefined || hand.requests.size < found.requests.size ? hand : found),
      undefined,
    );
    if (least !== undefined && least.requests.size === 0) return least;
    if (this.#hands.length < this.#size) return this.#start();
    return least !== undefined && least.requests.size < REQUESTS_PER_WORKER ? least : undefined;
  }

  #start(): Hand {
    const worker = new Worker(new URL("./pack-worker.js", import.meta.url), { env: {} });
    const hand: Hand = { worker, requests: new Map() };
    worker.on("message", (reply: PackReply) => {
      const answer = hand.requests.get(reply.id);
      hand.requests.delete(reply.id);
      if (reply.isPacked) answer?.resolve(reply);
      else answer?.reject(packFailed(reply.message));
      this.#hand();
    });
    worker.on("error", (error) => this.#drop(hand, error.message));
    worker.on("exit", () => this.#drop(hand, "its thread ended"));
    this.#hands.push(hand);
    return hand;
  }

  #drop(hand: Hand, problem: string): void {
    const index = this.#hands.indexOf(hand);
    if (index >= 0) this.#hands.splice(index, 1);
    for (const answer of hand.requests.values()) answer.reject(packFailed(problem));
    hand.requests.clear();
    if (index >= 0) this.#hand();
  }
}

function packFailed(problem: string): Error {
  return internal(`Cannot compress a layer: ${problem}`, { reason: "pack-failed" });
}
