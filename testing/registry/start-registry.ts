import { createHmac, randomBytes } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Digest } from "../../src/bytes/index.js";
import { type Answer, contentAnswer, sendAnswer, textAnswer } from "./answer.js";
import type { Certificate } from "./authority.js";
import { type Behaviour, type Rule, Script } from "./behaviour.js";
import { ContentStore, contentOf } from "./content-store.js";
import { type HttpServer, listen } from "./http-server.js";
import type { RequestRecord, ServerName } from "./request-record.js";
import { type AuthOptions, TokenServer } from "./token-server.js";

export interface RegistryServerOptions {
  readonly auth?: AuthOptions;
  readonly tls?: Certificate;
  readonly clientAuthority?: string;
  readonly port?: number;
  /** Blobs are served by a storage server on another port, by signed URLs. */
  readonly redirect?: { readonly status?: number; readonly signatureLifeMs?: number };
  /** Host name in the addresses of the token and storage servers, 127.0.0.1 by default. */
  readonly hostname?: string;
}

export interface RegistryServer {
  readonly url: string;
  /** `127.0.0.1:<port>`. */
  readonly host: string;
  readonly port: number;
  /** Every request that came, in order. */
  readonly log: readonly RequestRecord[];
  /** Connections open now, at all of its servers. */
  readonly connections: number;
  readonly tokensIssued: number;
  addBlob(bytes: Buffer): Digest;
  addManifest(options: { repository: string; tag?: string; bytes: Buffer; mediaType: string }): Digest;
  addLayout(options: { folder: string; repository: string }): Promise<void>;
  script(rule: Rule): void;
  clearScript(): void;
  /** Makes every token that was given invalid. */
  revokeTokens(): void;
  /** Makes every signed storage address that was given invalid. */
  expireSignatures(): void;
  stop(): Promise<void>;
}

const FORM_BYTES_MAX = 64 * 1024;

/** Starts the registry, and with `auth` and `redirect` its token and storage servers, on ports of 127.0.0.1. */
export async function startRegistry(options: RegistryServerOptions = {}): Promise<RegistryServer> {
  const parts = new Parts(options);
  await parts.start();
  const { registry } = parts;
  const host = `${options.hostname ?? "127.0.0.1"}:${registry.port}`;
  return {
    url: `${parts.scheme}://${host}`,
    host,
    port: registry.port,
    log: parts.log,
    get connections() {
      return parts.servers.reduce((sum, server) => sum + server.connections, 0);
    },
    get tokensIssued() {
      return parts.tokens?.issued ?? 0;
    },
    addBlob: (bytes) => parts.store.addBlob(bytes),
    addManifest: (manifest) => parts.store.addManifest(manifest),
    addLayout: (layout) => parts.store.addLayout(layout),
    script: (rule) => parts.script.add(rule),
    clearScript: () => parts.script.clear(),
    revokeTokens: () => parts.tokens?.revoke(),
    expireSignatures: () => parts.expireSignatures(),
    stop: async () => {
      await Promise.all(parts.servers.map((server) => server.stop()));
    },
  };
}

interface Question {
  readonly method: string;
  readonly url: URL;
  readonly range: string | undefined;
  readonly authorization: string | undefined;
  readonly form: string;
  readonly behaviour: Behaviour;
}

class Parts {
  readonly store = new ContentStore();
  readonly script = new Script();
  readonly log: RequestRecord[] = [];
  readonly servers: HttpServer[] = [];
  readonly tokens: TokenServer | undefined;
  readonly scheme: "http" | "https";
  readonly #options: RegistryServerOptions;
  #secret = randomBytes(16);
  #storage: HttpServer | undefined;
  #tokenServer: HttpServer | undefined;

  constructor(options: RegistryServerOptions) {
    this.#options = options;
    this.scheme = options.tls === undefined ? "http" : "https";
    this.tokens = options.auth === undefined ? undefined : new TokenServer(options.auth);
  }

  expireSignatures(): void {
    this.#secret = randomBytes(16);
  }

  get registry(): HttpServer {
    return this.servers.at(-1)!;
  }

  async start(): Promise<void> {
    const { auth, redirect, clientAuthority, port } = this.#options;
    if (redirect !== undefined)
      this.#storage = await this.#listen("storage", (question) => this.#store(question));
    if (auth?.kind === "token") {
      this.#tokenServer = await this.#listen("token", (question) => this.#token(question));
    }
    await this.#listen("registry", (question) => this.#answer(question), { clientAuthority, port });
  }

  async #listen(
    name: ServerName,
    answer: (question: Question) => Answer,
    own: { clientAuthority?: string | undefined; port?: number | undefined } = {},
  ): Promise<HttpServer> {
    const handle = (request: IncomingMessage, response: ServerResponse, signal: AbortSignal) =>
      this.#handle({ name, answer, request, response, signal });
    const server = await listen({ tls: this.#options.tls, ...own, handle });
    this.servers.push(server);
    return server;
  }

  async #handle(options: {
    name: ServerName;
    answer: (question: Question) => Answer;
    request: IncomingMessage;
    response: ServerResponse;
    signal: AbortSignal;
  }): Promise<void> {
    const { name, answer, request, response, signal } = options;
    const { method = "GET", url: path = "/" } = request;
    const { range, authorization } = request.headers;
    const form = await formOf(request);
    const wire = [`${method} ${path}`, ...request.rawHeaders, form].join("\n");
    const record: RequestRecord = {
      server: name,
      method,
      path,
      range,
      authorization,
      wire,
      status: 0,
      bytesSent: 0,
    };
    this.log.push(record);
    const behaviour = this.script.behaviourFor({ server: name, method, path });
    const url = new URL(path, "http://here");
    const question = { method, url, range, authorization, form, behaviour };
    await sendAnswer({ request, response, record, answer: answer(question), behaviour, signal });
  }

  #token(question: Question): Answer {
    const { method, url, authorization } = question;
    const form = new URLSearchParams(question.form);
    return this.tokens!.answer({ method, query: url.searchParams, form, authorization });
  }

  #answer(question: Question): Answer {
    const { url, authorization } = question;
    const match = /^\/(?:.*\/)?v2\/(.+)\/(blobs|manifests)\/([^/]+)$/.exec(url.pathname);
    const repository = match?.[1] ?? "";
    if (this.tokens !== undefined && !this.tokens.accepts(authorization)) {
      const realm = `${this.#address(this.#tokenServer)}/token`;
      return this.tokens.challenge({ realm, repository, authorization });
    }
    if (match === null) return textAnswer(url.pathname === "/v2/" ? 200 : 404, "{}");
    return match[2] === "blobs" ? this.#blob(match[3]!, question) : this.#manifest(repository, match[3]!);
  }

  #manifest(repository: string, reference: string): Answer {
    const manifest = this.store.manifest(repository, reference);
    if (manifest === undefined) return textAnswer(404, "{}");
    const headers = { "content-type": manifest.mediaType, "docker-content-digest": manifest.digest };
    return { status: 200, headers, body: contentOf(manifest.bytes) };
  }

  #blob(digest: string, question: Question): Answer {
    const content = this.store.blob(digest);
    if (content === undefined) return textAnswer(404, "{}");
    const { redirect } = this.#options;
    if (redirect !== undefined) {
      const expires = String(Date.now() + (redirect.signatureLifeMs ?? 60_000));
      const query = new URLSearchParams({ expires, signature: this.#signature(digest, expires) });
      const location = `${this.#address(this.#storage)}/storage/${digest}?${query}`;
      return textAnswer(redirect.status ?? 307, "", { location });
    }
    const { range, behaviour } = question;
    return contentAnswer(content, { range, behaviour, headers: blobHeaders });
  }

  #store(question: Question): Answer {
    const { url, range, behaviour } = question;
    const digest = url.pathname.split("/").at(-1)!;
    const expires = url.searchParams.get("expires") ?? "";
    const isSigned = url.searchParams.get("signature") === this.#signature(digest, expires);
    if (!isSigned || Number(expires) < Date.now()) return textAnswer(403, "<Error>AccessDenied</Error>");
    const content = this.store.blob(digest);
    if (content === undefined) return textAnswer(404, "{}");
    return contentAnswer(content, { range, behaviour, headers: blobHeaders });
  }

  #signature(digest: string, expires: string): string {
    return createHmac("sha256", this.#secret).update(`${digest} ${expires}`).digest("hex");
  }

  #address(server: HttpServer | undefined): string {
    return `${this.scheme}://${this.#options.hostname ?? "127.0.0.1"}:${server?.port ?? 0}`;
  }
}

const blobHeaders = { "content-type": "application/octet-stream" };

async function formOf(request: IncomingMessage): Promise<string> {
  if (request.method !== "POST") return "";
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of request as AsyncIterable<Buffer>) {
    bytes += piece.length;
    if (bytes > FORM_BYTES_MAX) break;
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString("utf8");
}
