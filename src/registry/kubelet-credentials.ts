import { SingleFlight } from "../async/index.js";
import { failedPrecondition } from "../errors/index.js";
import { BoundedMap } from "./bounded-map.js";
import { type Clock, systemClock } from "./clock.js";
import type { Credential, CredentialProvider, CredentialQuery } from "./credential.js";
import type { KubeletProviderConfig } from "./kubelet-config.js";
import { askKubeletPlugin, type KubeletAnswer } from "./kubelet-plugin.js";
import { CREDENTIAL_CACHE_MAX } from "./limits.js";
import { matchesImage } from "./match-image.js";
import { readSmallFile } from "./small-file.js";

export interface KubeletCredentialsOptions {
  /** The kubelet's --image-credential-provider-config; read again when it changes. */
  readonly configPath: string;
  /** The kubelet's --image-credential-provider-bin-dir. */
  readonly folder: string;
  readonly clock?: Clock;
}

/** Credentials of the kubelet's credential providers (KEP-2133), asked at the moment of use. */
export class KubeletCredentials implements CredentialProvider {
  readonly name: string;
  readonly #options: KubeletCredentialsOptions;
  readonly #clock: Clock;
  readonly #answers = new BoundedMap<string, { readonly untilMs: number; readonly answer: KubeletAnswer }>({
    entriesMax: CREDENTIAL_CACHE_MAX,
  });
  readonly #flights = new SingleFlight<string, KubeletAnswer>();
  #known: { readonly version: string; readonly providers: readonly KubeletProviderConfig[] } | undefined;

  constructor(options: KubeletCredentialsOptions) {
    this.name = options.configPath;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  /** Reads the config. @throws FAILED_PRECONDITION when it is not there or not right */
  async check(): Promise<void> {
    await this.#providers();
  }

  async find(query: CredentialQuery): Promise<Credential | undefined> {
    const image = `${query.host}/${query.repository}`;
    const providers = await this.#providers();
    let failure: unknown;
    for (const config of providers) {
      if (!config.matchImages.some((pattern) => matchesImage(pattern, image))) continue;
      try {
        const { credentials } = await this.#answer(config, image, query);
        const found = credentials.find(({ pattern }) => matchesImage(pattern, image));
        if (found !== undefined) return found.credential;
      } catch (thrown) {
        query.signal?.throwIfAborted();
        // Another provider may know it.
        failure ??= thrown;
      }
    }
    if (failure !== undefined) throw failure;
    return undefined;
  }

  async #answer(
    config: KubeletProviderConfig,
    image: string,
    query: CredentialQuery,
  ): Promise<KubeletAnswer> {
    const { name } = config;
    const keys = [`${name} image ${image}`, `${name} registry ${query.host}`, `${name} global`] as const;
    const now = this.#clock.monotonicMs();
    for (const key of keys) {
      const known = this.#answers.get(key);
      if (!query.fresh && known !== undefined && known.untilMs > now) return known.answer;
    }
    const ask = async (signal: AbortSignal): Promise<KubeletAnswer> =>
      await askKubeletPlugin({ folder: this.#options.folder, config, image, signal });
    const answer = await this.#flights.run(keys[0], ask, query.signal);
    const [ofImage, ofRegistry, ofAll] = keys;
    const kept = { Image: ofImage, Registry: ofRegistry, Global: ofAll }[answer.cacheKind];
    // One that was kept in another way before is not better than this one.
    for (const key of keys) this.#answers.delete(key);
    if (answer.cacheMs > 0) {
      this.#answers.set(kept, { untilMs: this.#clock.monotonicMs() + answer.cacheMs, answer });
    }
    return answer;
  }

  async #providers(): Promise<readonly KubeletProviderConfig[]> {
    const { configPath } = this.#options;
    const file = await readSmallFile(configPath, this.#known?.version);
    if (file === undefined) {
      throw failedPrecondition(`Cannot read ${configPath}: want a CredentialProviderConfig, got no file`, {
        subject: configPath,
        reason: "kubelet-config-missing",
        hint: "[credentials] kubelet_config names the kubelet's --image-credential-provider-config",
      });
    }
    if (file !== "unchanged") {
      // Its YAML is not loaded by those who have no such config.
      const { parseKubeletConfig } = await import("./kubelet-config.js");
      this.#known = { version: file.version, providers: parseKubeletConfig(file.text, configPath) };
    }
    return this.#known!.providers;
  }
}
