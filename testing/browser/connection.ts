import type WebSocket from "ws";

export type Fields = Record<string, unknown>;

interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly params?: Fields;
  readonly result?: Fields;
  readonly error?: { readonly message: string };
  readonly sessionId?: string;
}

type Listener = (method: string, params: Fields) => void;

/** Calls and events of all pages on one socket. */
export class Connection {
  readonly #socket: WebSocket;
  readonly #waiting = new Map<number, { resolve(result: Fields): void; reject(error: Error): void }>();
  readonly #listeners = new Map<string, Listener>();
  #last = 0;

  constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.on("message", (data) => this.#take(JSON.parse(String(data)) as Message));
    socket.on("close", () => {
      for (const { reject } of this.#waiting.values())
        reject(new Error("Chromium closed its debugging socket"));
    });
  }

  listen(session: string, listener: Listener): void {
    this.#listeners.set(session, listener);
  }

  async call(method: string, params: Fields = {}, session?: string): Promise<Fields> {
    this.#last += 1;
    const id = this.#last;
    return await new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#socket.send(
        JSON.stringify({ id, method, params, ...(session === undefined ? {} : { sessionId: session }) }),
      );
    });
  }

  #take({ id, method, params = {}, result = {}, error, sessionId = "" }: Message): void {
    if (id === undefined) {
      this.#listeners.get(sessionId)?.(method ?? "", params);
      return;
    }
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error === undefined) waiting?.resolve(result);
    else waiting?.reject(new Error(error.message));
  }
}
