import { parseReference } from "../oci/index.js";
import type { Credential, CredentialProvider } from "../registry/index.js";

/** Repositories that are remembered; the one that was noted first is forgotten, and its lazy layers are read anonymously. */
const REPOSITORIES_MAX = 1024;

/**
 * Credentials that clients gave for their pulls, for what is read of lazy layers later. In memory only: never used for
 * the requests of other clients, and gone with the process.
 */
export class SharedCredentials implements CredentialProvider {
  readonly name = "clients of earlier pulls";
  readonly #known = new Map<string, Credential>();

  async find({
    host,
    repository,
  }: {
    readonly host: string;
    readonly repository: string;
  }): Promise<Credential | undefined> {
    return this.#known.get(`${host}/${repository}`);
  }

  note(reference: string, credential: Credential): void {
    const { registry, repository } = parseReference(reference);
    const key = `${registry}/${repository}`;
    this.#known.delete(key);
    this.#known.set(key, credential);
    for (const first of this.#known.keys()) {
      if (this.#known.size <= REPOSITORIES_MAX) break;
      this.#known.delete(first);
    }
  }
}
