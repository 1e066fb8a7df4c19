import { join } from "node:path";
import type { Credential } from "./credential.js";
import { cleanEnvironment, programFailed, runCredentialProgram } from "./credential-program.js";
import { goDurationMs } from "./duration.js";
import type { KubeletProviderConfig } from "./kubelet-config.js";
import { KUBELET_CACHE_MS_MAX, KUBELET_LIST_MAX } from "./limits.js";

/** For which images an answer may be used again. */
export type KubeletCacheKind = "Image" | "Registry" | "Global";

export interface KubeletAnswer {
  readonly cacheKind: KubeletCacheKind;
  readonly cacheMs: number;
  /** By pattern, the most special ones first. */
  readonly credentials: readonly { readonly pattern: string; readonly credential: Credential }[];
}

/**
 * Runs a credential provider of the kubelet: a CredentialProviderRequest goes to stdin, a CredentialProviderResponse
 * comes from stdout (KEP-2133). Nothing that it prints gets into an error. @throws UNAVAILABLE
 */
export async function askKubeletPlugin(options: {
  readonly folder: string;
  readonly config: KubeletProviderConfig;
  /** Without its tag. */
  readonly image: string;
  readonly signal: AbortSignal | undefined;
}): Promise<KubeletAnswer> {
  const { folder, config, image, signal } = options;
  const program = join(folder, config.name);
  const apiVersion = `credentialprovider.kubelet.k8s.io/${config.api}`;
  const hint = `Run ${program} as the daemon's user, with a CredentialProviderRequest as its input`;
  const { code, output } = await runCredentialProgram({
    program,
    args: config.args,
    input: JSON.stringify({ kind: "CredentialProviderRequest", apiVersion, image }),
    environment: { ...cleanEnvironment(), ...config.environment },
    hint,
    signal,
  });
  const failed = (actual: string) => programFailed({ program, hint }, actual);
  if (code !== 0) throw failed(`exit code ${code}`);
  let answer: unknown;
  try {
    answer = JSON.parse(output);
  } catch {
    // The parser's message quotes its input, which is a secret.
    throw failed("an answer that is not JSON");
  }
  const fields = record(answer);
  if (fields.kind !== "CredentialProviderResponse" || fields.apiVersion !== apiVersion) {
    throw failed(`no CredentialProviderResponse of ${apiVersion}`);
  }
  const cacheKind = cacheKindOf(fields.cacheKeyType);
  if (cacheKind === undefined) throw failed("a cacheKeyType other than Image, Registry or Global");
  const told = fields.cacheDuration ?? undefined;
  const cacheMs = told === undefined ? config.defaultCacheMs : goDurationMs(String(told));
  if (cacheMs === undefined) throw failed("a cacheDuration that is none");
  const entries = Object.entries(record(fields.auth));
  if (entries.length > KUBELET_LIST_MAX) throw failed("credentials for too many places");
  const credentials = entries.map(([pattern, value]) => {
    const { username, password } = record(value);
    if (typeof username !== "string" || typeof password !== "string") {
      throw failed("an entry of auth without username and password");
    }
    return { pattern, credential: { kind: "password", username, password } as const };
  });
  // As a kubelet has it: by name backwards, so that a longer path stands before a shorter one.
  credentials.sort((left, right) => (left.pattern < right.pattern ? 1 : -1));
  return { cacheKind, cacheMs: Math.min(cacheMs, KUBELET_CACHE_MS_MAX), credentials };
}

function cacheKindOf(value: unknown): KubeletCacheKind | undefined {
  return value === "Image" || value === "Registry" || value === "Global" ? value : undefined;
}

function record(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : {};
}
