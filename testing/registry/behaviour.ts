import type { ServerName } from "./request-record.js";

export interface AnsweredRange {
  readonly start: number;
  /** Of the last byte. */
  readonly end: number;
  readonly total: number;
}

/** What is changed about an answer; everything that is not named stays right. */
export interface Behaviour {
  readonly status?: number;
  /** null takes a header away. */
  readonly headers?: Readonly<Record<string, string | null>>;
  /** In place of the right body. */
  readonly body?: string | Buffer;
  /** Sends the whole blob with status 200, whatever range was asked for. */
  readonly ignoreRange?: boolean;
  /** The Content-Range of a 206 in place of the right one; null takes it away. */
  readonly contentRange?: (range: AnsweredRange) => string | null;
  /** Answers no more than so many bytes of a range, and says so. */
  readonly rangeBytesMax?: number;
  /** Other bytes of the same length: zeros, or those of another blob. */
  readonly otherBytes?: "zeros" | "noise";
  /** Puts the range into a multipart answer, right but for what is said here. */
  readonly multipart?: {
    readonly parts?: number;
    readonly boundary?: string;
    readonly contentRange?: string;
    readonly end?: boolean;
  };
  /** Position in the body of a byte to change. */
  readonly flipByte?: number;
  /** Bytes appended to the body, with a length header that counts them. */
  readonly extraBytes?: number;
  /** Length header that is not the truth; "none" sends the body chunked. */
  readonly contentLength?: number | "none";
  /** Breaks the connection after so many bytes of the body; below 0: before the head. */
  readonly cutAfter?: number;
  /** Ends the connection by RST and not by FIN. */
  readonly reset?: boolean;
  /** Says no more after so many bytes of the body; below 0: before the head. */
  readonly stallAfter?: number;
  readonly bytesPerSecond?: number;
  /** Written to the socket in place of an HTTP answer. */
  readonly raw?: string;
  /** Waits before the head. */
  readonly delayMs?: number;
}

export interface Rule {
  /** Of which server; any by default. */
  readonly on?: ServerName;
  readonly method?: string;
  /** Matched against the path with the query. */
  readonly path?: RegExp;
  /** Lets so many matching requests pass first. */
  readonly skip?: number;
  /** How many requests it applies to; all by default. */
  readonly times?: number;
  readonly act: Behaviour;
}

/** The rules of a server, the first that matches counts. */
export class Script {
  readonly #rules: { readonly rule: Rule; seen: number }[] = [];

  add(rule: Rule): void {
    this.#rules.push({ rule, seen: 0 });
  }

  clear(): void {
    this.#rules.length = 0;
  }

  behaviourFor(request: { server: ServerName; method: string; path: string }): Behaviour {
    for (const entry of this.#rules) {
      const { rule } = entry;
      if (rule.on !== undefined && rule.on !== request.server) continue;
      if (rule.method !== undefined && rule.method !== request.method) continue;
      if (rule.path !== undefined && !rule.path.test(request.path)) continue;
      entry.seen += 1;
      const turn = entry.seen - (rule.skip ?? 0);
      if (turn >= 1 && turn <= (rule.times ?? Number.POSITIVE_INFINITY)) return rule.act;
    }
    return {};
  }
}
