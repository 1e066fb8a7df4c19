import { randomBytes } from "node:crypto";
import { resourceExhausted } from "../../errors/index.js";

/** Requests that wait for their client; one more is refused. The number is Kubernetes'. */
const WAITING_MAX = 1000;
const LIFETIME_MS = 60_000;
/** 192 bits: nobody who was not told one finds one. */
const TOKEN_BYTES = 24;

/** Requests under tokens that count once. */
export class Tokens<Request> implements Disposable {
  readonly #waiting = new Map<string, { readonly request: Request; readonly timer: NodeJS.Timeout }>();

  /** @throws RESOURCE_EXHAUSTED */
  put(request: Request): string {
    if (this.#waiting.size >= WAITING_MAX) {
      throw resourceExhausted(
        `Cannot serve another stream: at most ${WAITING_MAX} may wait for their client`,
        {
          reason: "streams-waiting-max",
        },
      );
    }
    const token = randomBytes(TOKEN_BYTES).toString("base64url");
    const timer = setTimeout(() => this.#waiting.delete(token), LIFETIME_MS);
    timer.unref();
    this.#waiting.set(token, { request, timer });
    return token;
  }

  /** Undefined for one that nobody was given, that is too old, or was taken. */
  take(token: string): Request | undefined {
    const found = this.#waiting.get(token);
    if (found === undefined) return undefined;
    clearTimeout(found.timer);
    this.#waiting.delete(token);
    return found.request;
  }

  [Symbol.dispose](): void {
    for (const { timer } of this.#waiting.values()) clearTimeout(timer);
    this.#waiting.clear();
  }
}
