import { randomBytes } from "node:crypto";
import type { Answer } from "./answer.js";
import { textAnswer } from "./answer.js";

export type AuthOptions =
  | { readonly kind: "basic"; readonly username: string; readonly password: string }
  | {
      readonly kind: "token";
      /** Without them everybody gets a token. */
      readonly username?: string;
      readonly password?: string;
      /** Refresh token that is taken by POST. */
      readonly identityToken?: string;
      /** How long the registry takes a token; for ever by default. */
      readonly tokenLifeMs?: number;
      /** What the token server says about it. */
      readonly expiresInSeconds?: number;
      /** In place of the address of the token server. */
      readonly realm?: string;
      /** Status for a missing or expired token, 401 by default; some registries say 403. */
      readonly expiredStatus?: number;
    };

export interface TokenQuestion {
  readonly method: string;
  readonly query: URLSearchParams;
  readonly form: URLSearchParams;
  readonly authorization: string | undefined;
}

/** Gives tokens and knows which ones are good. */
export class TokenServer {
  readonly #auth: AuthOptions;
  readonly #tokens = new Map<string, number>();

  constructor(auth: AuthOptions) {
    this.#auth = auth;
  }

  get issued(): number {
    return this.#tokens.size;
  }

  /** Makes every token that was given invalid. */
  revoke(): void {
    for (const token of this.#tokens.keys()) this.#tokens.set(token, 0);
  }

  answer(question: TokenQuestion): Answer {
    const auth = this.#auth;
    if (auth.kind !== "token") return textAnswer(404, "{}");
    const isKnown =
      question.method === "POST"
        ? auth.identityToken !== undefined && question.form.get("refresh_token") === auth.identityToken
        : auth.username === undefined ||
          question.authorization === basicOf(auth.username, auth.password ?? "");
    if (!isKnown) return textAnswer(401, "{}");
    const token = randomBytes(16).toString("hex");
    this.#tokens.set(token, performance.now() + (auth.tokenLifeMs ?? Number.POSITIVE_INFINITY));
    const expires = auth.expiresInSeconds === undefined ? {} : { expires_in: auth.expiresInSeconds };
    return textAnswer(200, JSON.stringify({ token, ...expires }));
  }

  accepts(authorization: string | undefined): boolean {
    const auth = this.#auth;
    if (auth.kind === "basic") return authorization === basicOf(auth.username, auth.password);
    const token = /^Bearer (.+)$/.exec(authorization ?? "")?.[1] ?? "";
    return (this.#tokens.get(token) ?? 0) > performance.now();
  }

  /** The refusal of the registry itself. */
  challenge(options: { realm: string; repository: string; authorization: string | undefined }): Answer {
    const auth = this.#auth;
    if (auth.kind === "basic") return textAnswer(401, "{}", { "www-authenticate": 'Basic realm="test"' });
    const scope = `repository:${options.repository}:pull`;
    const header = `Bearer realm="${auth.realm ?? options.realm}",service="test-service",scope="${scope}"`;
    const status = options.authorization === undefined ? 401 : (auth.expiredStatus ?? 401);
    return textAnswer(status, "{}", status === 401 ? { "www-authenticate": header } : {});
  }
}

function basicOf(username: string, password: string): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
}
