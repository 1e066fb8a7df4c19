import { reachFrom } from "./addresses.js";
import type { Authorizer, Grant } from "./authorizer.js";
import type { Endpoint } from "./endpoint.js";
import type { RequestKind } from "./events.js";
import type { Exchange } from "./exchange.js";
import { isRedirect, redirectTarget } from "./redirects.js";
import type { RequestPriority } from "./slots.js";
import { tlsFor } from "./token.js";
import type { RequestBody, Transport } from "./transport.js";

export interface ClientOptions {
  readonly transport: Transport;
  readonly authorizer: Authorizer;
  readonly allowRedirectDowngrade: boolean;
  readonly allowLocalRedirects: boolean;
}

export interface ClientRequest {
  readonly kind: RequestKind;
  readonly method: "GET" | "HEAD" | "POST" | "PUT";
  readonly endpoint: Endpoint;
  readonly repository: string;
  readonly url: URL;
  /** Without secrets: they go along with redirects. */
  readonly headers: Readonly<Record<string, string>>;
  /** Its length stands in `content-length` of the headers. */
  readonly body?: RequestBody | undefined;
  readonly attempt: number;
  readonly signal: AbortSignal | undefined;
  readonly priority?: RequestPriority | undefined;
}

/** Asks an endpoint: with authorization, renewed once where that may help, and with redirects followed by hand. */
export class Client {
  readonly #options: ClientOptions;

  constructor(options: ClientOptions) {
    this.#options = options;
  }

  /** The final answer, whatever its status; its `url` tells who gave it. */
  async send(request: ClientRequest): Promise<Exchange> {
    const { authorizer } = this.#options;
    const { endpoint, repository, signal } = request;
    const grant = await authorizer.authorize({ endpoint, repository, signal });
    const exchange = await this.#follow(request, grant);
    if (!mayBeRenewed(exchange, { endpoint, grant })) return exchange;
    let better: Grant | undefined;
    try {
      const header = exchange.header("www-authenticate");
      better = await authorizer.renew({ endpoint, repository, signal, header, refused: grant });
    } catch (error) {
      await exchange.finish();
      throw error;
    }
    if (better === undefined) return exchange;
    await exchange.finish();
    return await this.#follow(request, better);
  }

  /** Asks a URL outside the endpoint's origin that a redirect led to before: nothing secret goes along. */
  async sendTo(target: URL, request: ClientRequest): Promise<Exchange> {
    return await this.#exchange(request, { url: target, secrets: undefined });
  }

  async #follow(request: ClientRequest, grant: Grant | undefined): Promise<Exchange> {
    const secrets = {
      ...request.endpoint.headers,
      ...(grant === undefined ? {} : { authorization: grant.header }),
    };
    let url = request.url;
    let isHome = true;
    for (let hop = 1; ; hop += 1) {
      const exchange = await this.#exchange(request, { url, secrets: isHome ? secrets : undefined });
      // Bytes that are meant for a registry go to nobody else.
      if (!isRedirect(exchange.status) || isWrite(request)) return exchange;
      try {
        url = redirectTarget({
          from: url,
          location: exchange.header("location"),
          hop,
          rules: this.#rules(request),
        });
      } finally {
        await exchange.finish();
      }
      // Once away, nothing secret is sent any more, not even to the endpoint itself.
      isHome &&= url.origin === request.endpoint.origin;
    }
  }

  async #exchange(
    request: ClientRequest,
    to: {
      readonly url: URL;
      readonly secrets: Readonly<Record<string, string | readonly string[]>> | undefined;
    },
  ): Promise<Exchange> {
    const { endpoint } = request;
    const { url } = to;
    return await this.#options.transport.exchange({
      kind: request.kind,
      method: request.method,
      url,
      headers: { ...to.secrets, ...request.headers },
      body: request.body,
      tls: tlsFor(url, endpoint),
      reach: url.origin === endpoint.origin ? undefined : this.#rules(request).reach,
      connectTimeoutMs: endpoint.connectTimeoutMs,
      attempt: request.attempt,
      signal: request.signal,
      priority: request.priority,
    });
  }

  #rules(request: ClientRequest) {
    const { allowLocalRedirects, allowRedirectDowngrade } = this.#options;
    return {
      reach: allowLocalRedirects ? undefined : reachFrom(request.endpoint.origin),
      allowDowngrade: allowRedirectDowngrade,
    };
  }
}

function isWrite({ method }: ClientRequest): boolean {
  return method === "POST" || method === "PUT";
}

/** Only what the endpoint itself said: whoever it redirected to is never given a credential. */
function mayBeRenewed(exchange: Exchange, state: { endpoint: Endpoint; grant: Grant | undefined }): boolean {
  if (exchange.url.origin !== state.endpoint.origin) return false;
  if (exchange.status === 401) return true;
  // Some registries (ECR) answer an expired token with 403.
  return exchange.status === 403 && state.grant !== undefined && !state.grant.isFresh;
}
