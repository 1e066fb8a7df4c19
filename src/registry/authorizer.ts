import { SingleFlight } from "../async/index.js";
import { BoundedMap } from "./bounded-map.js";
import { type Challenge, parseChallenges } from "./challenge.js";
import type { Clock } from "./clock.js";
import { type Credential, credentialKey } from "./credential.js";
import type { Credentials } from "./credentials.js";
import type { Endpoint } from "./endpoint.js";
import { GRANTS_MAX } from "./limits.js";
import { basicHeader, fetchToken, type Token } from "./token.js";
import type { Transport } from "./transport.js";

/** A value for the `Authorization` header. */
export interface Grant {
  readonly header: string;
  /** A token got for this very request, so a refusal of it is meant; what came from a cache may have expired. */
  readonly isFresh: boolean;
}

interface Wanted {
  readonly endpoint: Endpoint;
  readonly repository: string;
  readonly signal: AbortSignal | undefined;
}

/** Finds what a host takes as authorization: remembers its challenge, and tokens by host, scope and credential. */
export class Authorizer {
  readonly #transport: Transport;
  readonly #credentials: Credentials;
  readonly #clock: Clock;
  readonly #challenges = new BoundedMap<string, Challenge>({ entriesMax: GRANTS_MAX });
  readonly #tokens = new BoundedMap<string, Token>({ entriesMax: GRANTS_MAX });
  readonly #flights = new SingleFlight<string, Token>();

  constructor(options: { transport: Transport; credentials: Credentials; clock: Clock }) {
    this.#transport = options.transport;
    this.#credentials = options.credentials;
    this.#clock = options.clock;
  }

  /** The authorization to send at once; undefined while the host never asked for one. */
  async authorize(wanted: Wanted): Promise<Grant | undefined> {
    const challenge = this.#challenges.get(challengeKey(wanted));
    if (challenge === undefined) return undefined;
    try {
      return await this.#grant({ ...wanted, challenge, refused: undefined });
    } catch (error) {
      // The host is asked again what it wants: it may have changed its mind.
      this.#challenges.delete(challengeKey(wanted));
      throw error;
    }
  }

  /**
   * Another authorization after a 401, or a 403 that may mean an expired one; undefined when there is no better one.
   * @throws UNAUTHENTICATED, UNAVAILABLE from the token server
   */
  async renew(
    wanted: Wanted & { readonly header: string | undefined; readonly refused: Grant | undefined },
  ): Promise<Grant | undefined> {
    const offered = parseChallenges(wanted.header ?? "");
    const challenge =
      offered.find((one) => one.scheme === "bearer" && one.parameters.has("realm")) ??
      offered.find((one) => one.scheme === "basic") ??
      this.#challenges.get(challengeKey(wanted));
    if (challenge === undefined) return undefined;
    const grant = await this.#grant({ ...wanted, challenge });
    // One that led nowhere is forgotten, or the host could never be used again.
    this.#challenges.set(challengeKey(wanted), challenge);
    return grant?.header === wanted.refused?.header ? undefined : grant;
  }

  async #grant(
    wanted: Wanted & { readonly challenge: Challenge; readonly refused: Grant | undefined },
  ): Promise<Grant | undefined> {
    const { endpoint, repository, signal, challenge, refused } = wanted;
    const fresh = refused !== undefined;
    const { host, namespace, isServer = false } = endpoint;
    const isMirror = namespace !== undefined && !isServer;
    const place = { host, registry: namespace ?? host, isMirror, repository };
    const credential = await this.#credentials.find({ ...place, signal, fresh });
    if (challenge.scheme === "basic") return basicGrant(credential);
    if (credential?.kind === "registry-token") {
      return { header: `Bearer ${credential.registryToken}`, isFresh: false };
    }
    const scope = challenge.parameters.get("scope") ?? `repository:${repository}:pull`;
    const service = challenge.parameters.get("service");
    const key = [endpoint.origin, service, scope, credentialKey(credential)].join(" ");
    const known = this.#tokens.get(key);
    if (known !== undefined && known.untilMs > this.#clock.monotonicMs()) {
      const header = `Bearer ${known.value}`;
      // Another request may have renewed the refused token meanwhile: then this one is good.
      if (header !== refused?.header) return { header, isFresh: false };
    }
    const realm = challenge.parameters.get("realm") ?? "";
    const token = await this.#flights.run(
      key,
      async (flightSignal) => {
        const request = { endpoint, realm, service, scope, credential, signal: flightSignal };
        return await fetchToken(request, { transport: this.#transport, clock: this.#clock });
      },
      signal,
    );
    this.#tokens.set(key, token);
    return { header: `Bearer ${token.value}`, isFresh: true };
  }
}

function basicGrant(credential: Credential | undefined): Grant | undefined {
  return credential?.kind === "password" ? { header: basicHeader(credential), isFresh: false } : undefined;
}

/** By repository, as the scope stands in the challenge. */
function challengeKey(wanted: Wanted): string {
  return `${wanted.endpoint.origin} ${wanted.repository}`;
}
