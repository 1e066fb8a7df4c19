import { failedPrecondition, type LazuliError, unauthenticated, unavailable } from "../errors/index.js";
import { hostnameKind, isWithinReach, reachFrom } from "./addresses.js";
import type { Clock } from "./clock.js";
import type { Credential } from "./credential.js";
import { defaultTls, type Endpoint, type TlsFacts } from "./endpoint.js";
import type { Exchange } from "./exchange.js";
import {
  TOKEN_ANSWER_BYTES_MAX,
  TOKEN_LENGTH_MAX,
  TOKEN_LIFE_SECONDS,
  TOKEN_LIFE_SECONDS_MAX,
  TOKEN_SKEW_MS,
  URL_LENGTH_MAX,
} from "./limits.js";
import type { Transport, TransportRequest } from "./transport.js";
import { readWhole } from "./whole-body.js";

export interface Token {
  readonly value: string;
  /** Monotonic time from which on it is not used any more. */
  readonly untilMs: number;
}

export interface TokenRequest {
  readonly endpoint: Endpoint;
  /** `realm` of the challenge. */
  readonly realm: string;
  readonly service: string | undefined;
  /** Scopes separated by spaces. */
  readonly scope: string;
  readonly credential: Credential | undefined;
  readonly signal: AbortSignal | undefined;
}

const CLIENT_ID = "lazuli";

/**
 * Gets a token from a token server: by GET (distribution's token specification), or by POST with a refresh token
 * (OAuth2). Redirects are not followed, as the request carries a password. @throws UNAUTHENTICATED, UNAVAILABLE
 */
export async function fetchToken(
  request: TokenRequest,
  parts: { transport: Transport; clock: Clock },
): Promise<Token> {
  const { endpoint, signal } = request;
  const realm = checkRealm(request.realm, endpoint);
  const startedMs = parts.clock.monotonicMs();
  const exchange = await parts.transport.exchange({
    ...messageOf(realm, request),
    kind: "token",
    tls: tlsFor(realm, endpoint),
    reach: realm.origin === endpoint.origin ? undefined : reachFrom(endpoint.origin),
    connectTimeoutMs: endpoint.connectTimeoutMs,
    attempt: 1,
    signal,
  });
  try {
    if (exchange.status !== 200) throw refused(exchange);
    const body = await readWhole(exchange, { bytesMax: TOKEN_ANSWER_BYTES_MAX, subject: "token" });
    return tokenOf(body, { startedMs, host: realm.host });
  } finally {
    await exchange.finish();
  }
}

/**
 * A realm is text of the registry that decides where passwords go: an https registry needs an https realm, and no
 * registry leads to this machine or its link unless it lies there itself.
 */
function checkRealm(text: string, endpoint: Endpoint): URL {
  const refuse = (actual: string) =>
    failedPrecondition(`Cannot ask for a token for ${endpoint.host}: want a proper realm, got ${actual}`, {
      subject: endpoint.host,
      reason: "realm-refused",
    });
  if (text.length > URL_LENGTH_MAX || !URL.canParse(text)) throw refuse("one that is no URL");
  const realm = new URL(text);
  if (realm.protocol !== "https:" && realm.protocol !== "http:")
    throw refuse("another scheme than http or https");
  if (endpoint.origin.startsWith("https:") && realm.protocol !== "https:")
    throw refuse("http for an https registry");
  if (realm.username !== "" || realm.password !== "") throw refuse("one with a password");
  if (realm.origin !== endpoint.origin && !isWithinReach(realm.hostname, reachFrom(endpoint.origin))) {
    throw refuse(`an address of kind ${hostnameKind(realm.hostname)}`);
  }
  realm.hash = "";
  return realm;
}

/** Client certificates are credentials of their host; authorities and `skip_verify` hold for its whole installation. */
export function tlsFor(url: URL, endpoint: Endpoint): TlsFacts {
  if (url.origin === endpoint.origin || endpoint.tls === defaultTls) return endpoint.tls;
  const { authorities, verify } = endpoint.tls;
  return { authorities, verify, clientPairs: [] };
}

function messageOf(
  realm: URL,
  request: TokenRequest,
): Pick<TransportRequest, "method" | "url" | "headers" | "body"> {
  const { service, scope, credential } = request;
  if (credential?.kind === "identity-token") {
    const form = new URLSearchParams({ grant_type: "refresh_token", client_id: CLIENT_ID, scope });
    if (service !== undefined) form.set("service", service);
    form.set("refresh_token", credential.identityToken);
    const headers = { "content-type": "application/x-www-form-urlencoded", accept: "application/json" };
    return { method: "POST", url: realm, headers, body: form.toString() };
  }
  const url = new URL(realm);
  if (service !== undefined) url.searchParams.set("service", service);
  for (const one of scope.split(" ")) if (one !== "") url.searchParams.append("scope", one);
  const headers: Record<string, string> = { accept: "application/json" };
  if (credential?.kind === "password") headers.authorization = basicHeader(credential);
  return { method: "GET", url, headers };
}

export function basicHeader(credential: { readonly username: string; readonly password: string }): string {
  return `Basic ${Buffer.from(`${credential.username}:${credential.password}`, "utf8").toString("base64")}`;
}

function refused(exchange: Exchange): LazuliError {
  const { host, status } = exchange;
  const message = `Cannot get a token from ${host}: want status 200, got ${status}`;
  if (status === 408 || status === 429 || status >= 500) {
    return unavailable(message, { subject: host, reason: "token-server-error" });
  }
  return unauthenticated(message, {
    subject: host,
    reason: "token-refused",
    hint: "Log in to the registry again",
  });
}

function tokenOf(body: Buffer, facts: { startedMs: number; host: string }): Token {
  let answer: unknown;
  try {
    answer = JSON.parse(body.toString("utf8"));
  } catch {
    // The parser's message quotes the answer, which may hold a token.
    throw tokenInvalid(facts.host, "an answer that is not JSON");
  }
  const fields = (typeof answer === "object" && answer !== null ? answer : {}) as Record<string, unknown>;
  const value = [fields.token, fields.access_token].find((one) => typeof one === "string" && one !== "");
  if (typeof value !== "string") throw tokenInvalid(facts.host, "an answer without a token");
  // Visible ASCII only: the text becomes a header.
  if (value.length > TOKEN_LENGTH_MAX || !/^[\x21-\x7e]+$/.test(value)) {
    throw tokenInvalid(facts.host, "one that is too long or not plain text");
  }
  return { value, untilMs: facts.startedMs + usableMs(fields.expires_in) };
}

/** Counted from before the request with our own clock: the server's clock (`issued_at`) may be wrong. */
function usableMs(expiresIn: unknown): number {
  const told = typeof expiresIn === "number" && Number.isFinite(expiresIn) ? expiresIn : TOKEN_LIFE_SECONDS;
  const lifeMs = Math.min(Math.max(told, 0), TOKEN_LIFE_SECONDS_MAX) * 1000;
  return lifeMs > 10 * TOKEN_SKEW_MS ? lifeMs - TOKEN_SKEW_MS : lifeMs * 0.9;
}

function tokenInvalid(host: string, actual: string): LazuliError {
  return unauthenticated(`Cannot use the token of ${host}: want a token as JSON, got ${actual}`, {
    subject: host,
    reason: "token-invalid",
  });
}
