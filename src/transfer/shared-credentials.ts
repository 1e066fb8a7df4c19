import { KeyedQueue } from "../async/index.js";
import { LazuliError } from "../errors/index.js";
import { log } from "../observe/index.js";
import { parseReference } from "../oci/index.js";
import type { Credential, CredentialProvider, CredentialQuery } from "../registry/index.js";
import type { CredentialVault, KeptCredential } from "./credential-vault.js";

/** Repositories that are remembered; the one that was noted first is forgotten, and its lazy layers are read anonymously. */
const REPOSITORIES_MAX = 1024;

export interface SharedCredentialsOptions {
  /** With `false` nothing is kept, and what needed a client's credential is never read lazily. */
  readonly isKeeping?: boolean;
  /** 0 stands for as long as there is an image of the repository. */
  readonly keepForMs?: number;
  /** Where they survive the process; undefined: in memory only. */
  readonly vault?: CredentialVault | undefined;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

/**
 * Credentials that clients gave for their pulls, for what is read of lazy layers later: never used for the requests of
 * other clients, and never sent to a mirror.
 */
export class SharedCredentials implements CredentialProvider {
  readonly name = "clients of earlier pulls";
  readonly isKeeping: boolean;
  readonly #known = new Map<string, KeptCredential>();
  readonly #keepForMs: number;
  readonly #vault: CredentialVault | undefined;
  readonly #now: () => number;
  readonly #writes = new KeyedQueue<"vault">();

  constructor(options: SharedCredentialsOptions = {}) {
    this.isKeeping = options.isKeeping ?? true;
    this.#keepForMs = options.keepForMs ?? 0;
    this.#vault = options.vault;
    this.#now = options.now ?? Date.now;
  }

  /** Takes what an earlier process kept. Never throws for a bad file. */
  async restore(): Promise<void> {
    if (this.#vault === undefined) return;
    try {
      for (const kept of await this.#vault.read()) this.#known.set(kept.repository, kept);
    } catch (thrown) {
      // Images stay; those of private registries need a new pull before anything more of them is fetched.
      const { message, reason } = LazuliError.from(thrown);
      log.warn("Cannot read the kept credentials, starting without", { error: message, reason });
    }
  }

  /** Forgets those of repositories without an image. */
  async retain(repositories: ReadonlySet<string>): Promise<void> {
    const gone = [...this.#known.keys()].filter((repository) => !repositories.has(repository));
    for (const repository of gone) this.#known.delete(repository);
    if (gone.length > 0) await this.#save();
  }

  async find({
    host,
    registry = host,
    repository,
    isMirror = false,
  }: Pick<CredentialQuery, "host" | "registry" | "repository" | "isMirror">): Promise<
    Credential | undefined
  > {
    if (isMirror) return undefined;
    const key = `${registry}/${repository}`;
    const kept = this.#known.get(key);
    if (kept === undefined || !this.#isOver(kept)) return kept?.credential;
    this.#known.delete(key);
    await this.#save();
    return undefined;
  }

  /** Resolves when the credential is kept as the policy says. A vault that can't be written keeps it in memory. */
  async note(reference: string, credential: Credential): Promise<void> {
    if (!this.isKeeping) return;
    const repository = repositoryOf(reference);
    const untilMs = this.#keepForMs === 0 ? 0 : this.#now() + this.#keepForMs;
    this.#known.delete(repository);
    this.#known.set(repository, { repository, credential, untilMs });
    for (const first of this.#known.keys()) {
      if (this.#known.size <= REPOSITORIES_MAX) break;
      this.#known.delete(first);
    }
    await this.#save();
  }

  /** An image of the repository was removed and no other of it is there. */
  async forget(repository: string): Promise<void> {
    if (this.#known.delete(repository)) await this.#save();
  }

  has(repository: string): boolean {
    return this.#known.has(repository);
  }

  #isOver({ untilMs }: KeptCredential): boolean {
    return untilMs > 0 && untilMs <= this.#now();
  }

  async #save(): Promise<void> {
    const vault = this.#vault;
    if (vault === undefined) return;
    await this.#writes.run("vault", async () => {
      try {
        await vault.write([...this.#known.values()].filter((kept) => !this.#isOver(kept)));
      } catch (thrown) {
        const { code, reason } = LazuliError.from(thrown);
        log.warn("Cannot keep credentials on disk: they last until the daemon ends", {
          reason: reason ?? code,
        });
      }
    });
  }
}

/** `registry/repository` of a reference, as the credentials are kept by. @throws INVALID_ARGUMENT */
export function repositoryOf(reference: string): string {
  const { registry, repository } = parseReference(reference);
  return `${registry}/${repository}`;
}
