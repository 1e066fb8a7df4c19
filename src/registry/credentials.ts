import { linkSignals, withSignal } from "../async/index.js";
import { LazuliError } from "../errors/index.js";
import { log } from "../observe/index.js";
import { type Credential, type CredentialProvider, type CredentialQuery, loginHost } from "./credential.js";
import { CREDENTIAL_TIMEOUT_MS } from "./limits.js";

/** Asks providers in order; the first that knows a credential wins, and one that fails does not stop the others. */
export class Credentials {
  readonly #providers: readonly CredentialProvider[];

  constructor(providers: readonly CredentialProvider[]) {
    this.#providers = providers;
  }

  async find(query: CredentialQuery): Promise<Credential | undefined> {
    const host = loginHost(query.host);
    const registry = loginHost(query.registry ?? host);
    for (const provider of this.#providers) {
      query.signal?.throwIfAborted();
      using limit = linkSignals([query.signal], CREDENTIAL_TIMEOUT_MS);
      const { signal } = limit;
      try {
        const found = await withSignal(provider.find({ ...query, host, registry, signal }), signal);
        if (found !== undefined) return found;
      } catch (error) {
        query.signal?.throwIfAborted();
        // The text of an error that is not ours may quote a secret.
        const reason = error instanceof LazuliError ? (error.reason ?? error.code) : "provider-failed";
        log.warn("Cannot look up credentials here, going on with the next place", {
          provider: provider.name,
          host,
          reason,
        });
      }
    }
    return undefined;
  }
}
