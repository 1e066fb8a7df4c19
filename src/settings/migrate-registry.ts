import { stringify } from "smol-toml";
import type { Migration } from "./migration.js";
import { isTomlTable, type TomlTable, takeAt } from "./toml-tables.js";

const images = "io.containerd.cri.v1.images";

interface RegistryHost {
  readonly endpoints: string[];
  tls: TomlTable | undefined;
}

const WRITTEN = "lies in hosts.toml now: `--hosts FOLDER` writes it, else `config_path` has to lead to one";

/**
 * Mirrors, TLS and headers that stood in the config itself become one hosts.toml for each registry. Credentials are
 * named, never shown.
 */
export function migrateRegistry(migration: Migration, plugins: TomlTable): void {
  const at = (...path: string[]): string[] => [images, "registry", ...path];
  const from = (...path: string[]): string[] => ["plugins", ...at(...path)];
  const hosts = new Map<string, RegistryHost>();
  const hostOf = (name: string): RegistryHost => {
    const host = hosts.get(name) ?? { endpoints: [], tls: undefined };
    hosts.set(name, host);
    return host;
  };
  for (const [name, mirror] of tablesOf(takeAt(plugins, at("mirrors")))) {
    const endpoints = Array.isArray(mirror.endpoint) ? mirror.endpoint.map(String) : [];
    hostOf(name).endpoints.push(...endpoints);
    migration.drop(from("mirrors", name), endpoints, WRITTEN);
  }
  for (const [name, config] of tablesOf(takeAt(plugins, at("configs")))) {
    if (isTomlTable(config.tls)) {
      hostOf(name).tls = config.tls;
      migration.drop(from("configs", name, "tls"), config.tls, WRITTEN);
    }
    if (isTomlTable(config.auth)) dropAuth(migration, from("configs", name, "auth"));
  }
  for (const [name] of tablesOf(takeAt(plugins, at("auths")))) dropAuth(migration, from("auths", name));
  const headers = takeAt(plugins, at("headers"));
  const hasHeaders = isTomlTable(headers) && Object.keys(headers).length > 0;
  if (hasHeaders) migration.drop(from("headers"), headers, WRITTEN);
  for (const [name, host] of hosts) {
    const tlsOf = (endpoint: string): TomlTable | undefined => hosts.get(hostName(endpoint))?.tls;
    const text = hostsText({ name, host, tlsOf, headers: hasHeaders ? headers : undefined });
    if (isFolderName(name)) migration.hosts.push({ host: name === "*" ? "_default" : name, text });
  }
}

function tablesOf(value: unknown): [string, TomlTable][] {
  return Object.entries(isTomlTable(value) ? value : {}).filter((entry): entry is [string, TomlTable] =>
    isTomlTable(entry[1]),
  );
}

function dropAuth(migration: Migration, key: readonly string[]): void {
  migration.dropSecret(
    key,
    "no secrets in config: `docker login` writes them to where `[registry] docker_config` says",
  );
}

/** A name from the config becomes the name of a folder. */
function isFolderName(name: string): boolean {
  return name === "*" || /^[A-Za-z0-9][A-Za-z0-9._:-]*$/.test(name);
}

function hostName(endpoint: string): string {
  return endpoint.replace(/^[a-z]+:\/\//, "").replace(/\/.*$/, "");
}

function hostsText(options: {
  readonly name: string;
  readonly host: RegistryHost;
  readonly tlsOf: (endpoint: string) => TomlTable | undefined;
  readonly headers: TomlTable | undefined;
}): string {
  const { name, host, tlsOf, headers } = options;
  const endpoints = host.endpoints.length > 0 ? host.endpoints : name === "*" ? [] : [`https://${name}`];
  const tables: TomlTable = {};
  for (const endpoint of endpoints) {
    const url = /^[a-z]+:\/\//.test(endpoint) ? endpoint : `https://${endpoint}`;
    const path = url.replace(/^[a-z]+:\/\/[^/]+/, "").replace(/\/$/, "");
    tables[url] = {
      capabilities: ["pull", "resolve"],
      ...(path === "" ? {} : { override_path: true }),
      ...tlsKeys(tlsOf(endpoint)),
      ...(headers === undefined ? {} : { header: headers }),
    };
  }
  return `${stringify({ host: tables })}\n`;
}

function tlsKeys(tls: TomlTable | undefined): TomlTable {
  const { insecure_skip_verify, ca_file, cert_file, key_file } = tls ?? {};
  const hasPair = isPath(cert_file) && isPath(key_file);
  return {
    ...(insecure_skip_verify === true ? { skip_verify: true } : {}),
    ...(isPath(ca_file) ? { ca: ca_file } : {}),
    ...(hasPair ? { client: [[cert_file, key_file]] } : {}),
  };
}

function isPath(value: unknown): value is string {
  return typeof value === "string" && value !== "";
}
