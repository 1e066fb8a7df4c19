import { parse } from "yaml";
import { failedPrecondition, type LazuliError } from "../errors/index.js";
import { goDurationMs } from "./duration.js";
import { KUBELET_LIST_MAX, KUBELET_PROVIDERS_MAX } from "./limits.js";

export type KubeletApi = "v1" | "v1beta1" | "v1alpha1";

/** One program of a kubelet's `--image-credential-provider-config`. */
export interface KubeletProviderConfig {
  /** Name of the program in the folder of them. */
  readonly name: string;
  readonly matchImages: readonly string[];
  readonly defaultCacheMs: number;
  /** Of `credentialprovider.kubelet.k8s.io`, which the program is spoken to in. */
  readonly api: KubeletApi;
  readonly args: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
}

const configApis = ["v1", "v1beta1", "v1alpha1"].map((version) => `kubelet.config.k8s.io/${version}`);
const providerKeys = new Set([
  "name",
  "matchImages",
  "defaultCacheDuration",
  "apiVersion",
  "args",
  "env",
  "tokenAttributes",
]);

/** Reads a CredentialProviderConfig, YAML or JSON (KEP-2133). @throws FAILED_PRECONDITION without values of `env` */
export function parseKubeletConfig(text: string, path: string): readonly KubeletProviderConfig[] {
  const problem: Problem = (wanted, at = "") => invalid({ path, at, wanted });
  let document: unknown;
  try {
    document = parse(text, { maxAliasCount: 0, logLevel: "error" });
  } catch {
    // The parser's message quotes the text, which may hold a secret in `env`.
    throw problem("YAML or JSON");
  }
  const root = record(document);
  if (!configApis.includes(String(root.apiVersion)) || root.kind !== "CredentialProviderConfig") {
    throw problem('apiVersion "kubelet.config.k8s.io/v1" and kind "CredentialProviderConfig"');
  }
  const { providers } = root;
  if (!Array.isArray(providers) || providers.length === 0 || providers.length > KUBELET_PROVIDERS_MAX) {
    throw problem(`1 to ${KUBELET_PROVIDERS_MAX} providers`, "providers");
  }
  const read = providers.map((provider, index) =>
    readProvider(record(provider), (wanted, at = "") => problem(wanted, `providers[${index}]${at}`)),
  );
  if (new Set(read.map(({ name }) => name)).size < read.length) {
    throw problem("providers of different names", "providers");
  }
  return read;
}

type Problem = (wanted: string, at?: string) => LazuliError;

function readProvider(fields: Record<string, unknown>, problem: Problem): KubeletProviderConfig {
  const unknown = Object.keys(fields).find((key) => !providerKeys.has(key));
  if (unknown !== undefined) throw problem(`no key but ${[...providerKeys].join(", ")}`);
  if (fields.tokenAttributes !== undefined && fields.tokenAttributes !== null) {
    // Such a token is made by the kubelet for the pod that pulls; a daemon has neither the pod nor the right.
    throw problem("a provider without the service account token of a pod", ".tokenAttributes");
  }
  const { name, matchImages, defaultCacheDuration, apiVersion, args, env } = fields;
  if (typeof name !== "string" || !/^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$/.test(name)) {
    throw problem("the plain name of a program", ".name");
  }
  const defaultCacheMs =
    typeof defaultCacheDuration === "string" ? goDurationMs(defaultCacheDuration) : undefined;
  if (defaultCacheMs === undefined) throw problem('a duration such as "12h"', ".defaultCacheDuration");
  const api = /^credentialprovider\.kubelet\.k8s\.io\/(v1|v1beta1|v1alpha1)$/.exec(String(apiVersion))?.[1];
  if (api === undefined) throw problem('"credentialprovider.kubelet.k8s.io/v1"', ".apiVersion");
  const patterns = texts(matchImages, () => problem("a list of patterns", ".matchImages"));
  if (patterns.length === 0) throw problem("at least one pattern", ".matchImages");
  return {
    name,
    matchImages: patterns,
    defaultCacheMs,
    api: api as KubeletApi,
    args: texts(args ?? [], () => problem("a list of texts", ".args")),
    environment: environmentOf(env ?? [], () => problem("a list of names and values", ".env")),
  };
}

function environmentOf(value: unknown, problem: () => LazuliError): Record<string, string> {
  if (!Array.isArray(value) || value.length > KUBELET_LIST_MAX) throw problem();
  const environment: Record<string, string> = {};
  for (const entry of value) {
    const { name, value: text } = record(entry);
    const isFit = typeof name === "string" && /^[^=\0]+$/.test(name);
    if (!isFit || typeof text !== "string" || text.includes("\0")) throw problem();
    environment[name] = text;
  }
  return environment;
}

function texts(value: unknown, problem: () => LazuliError): readonly string[] {
  if (!Array.isArray(value) || value.length > KUBELET_LIST_MAX) throw problem();
  if (!value.every((one) => typeof one === "string" && one !== "" && !one.includes("\0"))) throw problem();
  return value as string[];
}

function record(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : {};
}

function invalid(options: { path: string; at: string; wanted: string }): LazuliError {
  const { path, at, wanted } = options;
  const place = at === "" ? path : `${path}, ${at}`;
  return failedPrecondition(`Cannot use ${place}: want ${wanted}, got something else`, {
    subject: path,
    reason: at.endsWith("tokenAttributes") ? "kubelet-token-unsupported" : "kubelet-config-invalid",
    hint: at.endsWith("tokenAttributes")
      ? "Leave the provider to the kubelet: it gives the credentials with each pull"
      : "The file is the kubelet's --image-credential-provider-config",
  });
}
