import { isAbsolute, join } from "node:path";
import { parse, TomlError } from "smol-toml";
import { failedPrecondition, type LazuliError } from "../errors/index.js";
import { durationMs } from "./duration.js";
import type { Capability } from "./endpoint.js";
import { CONFIG_ENTRIES_MAX } from "./limits.js";

/** One host of a hosts.toml, its files not yet read. */
export interface HostEntry {
  readonly url: URL;
  readonly overridePath: boolean;
  readonly capabilities: readonly Capability[];
  readonly authorityFiles: readonly string[];
  /** Certificate and key; the same path twice when both stand in one file. */
  readonly clientFiles: readonly { readonly certificate: string; readonly key: string }[];
  readonly verify: boolean;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, readonly string[]>>;
  readonly dialTimeoutMs: number | undefined;
}

export interface HostsToml {
  /** Mirrors in the order of the file. */
  readonly mirrors: readonly HostEntry[];
  /** The registry itself: `server`, or what its name says. */
  readonly server: HostEntry;
}

type Table = Readonly<Record<string, unknown>>;

const capabilities: readonly Capability[] = ["pull", "resolve", "push"];

/** Reads a hosts.toml (containerd docs/hosts.md). @throws FAILED_PRECONDITION without a word of its values */
export function parseHostsToml(options: {
  text: string;
  path: string;
  folder: string;
  fallbackUrl: URL;
}): HostsToml {
  const { path, folder, fallbackUrl } = options;
  const reader = new EntryReader({ path, folder });
  const root = parseTable(options.text, path);
  const hosts = root.host ?? {};
  if (!isTable(hosts)) throw reader.refuse("host", "tables");
  const names = Object.keys(hosts);
  if (names.length > CONFIG_ENTRIES_MAX) throw reader.refuse("host", `at most ${CONFIG_ENTRIES_MAX} tables`);
  const mirrors = names.map((name) => {
    const table = hosts[name];
    if (!isTable(table)) throw reader.refuse("host", "tables");
    return reader.entry({ url: reader.url(name, "host"), table });
  });
  const server = root.server;
  if (server !== undefined && typeof server !== "string") throw reader.refuse("server", "a text");
  const url = server === undefined || server === "" ? fallbackUrl : reader.url(server, "server");
  return { mirrors, server: reader.entry({ url, table: root }) };
}

function parseTable(text: string, path: string): Table {
  try {
    return parse(text, { maxDepth: 8, unsafeKeyBehaviour: "throw" });
  } catch (error) {
    // The parser's message quotes the line, which may hold a secret header.
    const place =
      error instanceof TomlError ? `an error in line ${error.line}, column ${error.column}` : "an error";
    throw failedPrecondition(`Cannot read "${path}": want TOML, got ${place}`, {
      subject: path,
      reason: "hosts-config-invalid",
    });
  }
}

function isTable(value: unknown): value is Table {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

class EntryReader {
  readonly #path: string;
  readonly #folder: string;

  constructor(options: { path: string; folder: string }) {
    this.#path = options.path;
    this.#folder = options.folder;
  }

  refuse(key: string, wanted: string): LazuliError {
    return failedPrecondition(`Cannot read "${this.#path}": "${key}" must be ${wanted}, got something else`, {
      subject: this.#path,
      reason: "hosts-config-invalid",
      hint: "See containerd's docs/hosts.md for the keys of hosts.toml",
    });
  }

  url(text: string, key: string): URL {
    const full = /^https?:\/\//.test(text) ? text : `https://${text}`;
    if (!URL.canParse(full)) throw this.refuse(key, "a URL");
    const url = new URL(full);
    if (url.username !== "" || url.password !== "") throw this.refuse(key, "a URL without a password");
    return url;
  }

  entry(options: { url: URL; table: Table }): HostEntry {
    const { url, table } = options;
    return {
      url,
      overridePath: this.#boolean(table, "override_path"),
      capabilities: this.#capabilities(table),
      authorityFiles: this.#strings(table, "ca").map((path) => this.#absolute(path)),
      clientFiles: this.#clientFiles(table),
      verify: !this.#boolean(table, "skip_verify"),
      headers: this.#headers(table),
      dialTimeoutMs: this.#dialTimeout(table),
    };
  }

  #boolean(table: Table, key: string): boolean {
    const value = table[key] ?? false;
    if (typeof value !== "boolean") throw this.refuse(key, "true or false");
    return value;
  }

  #strings(table: Table, key: string): string[] {
    const value = table[key] ?? [];
    const list = Array.isArray(value) ? value : [value];
    if (list.length > CONFIG_ENTRIES_MAX || !list.every((one) => typeof one === "string")) {
      throw this.refuse(key, "a text or a list of texts");
    }
    return list;
  }

  #capabilities(table: Table): readonly Capability[] {
    if (table.capabilities === undefined) return capabilities;
    const names = this.#strings(table, "capabilities").map((name) => name.toLowerCase());
    if (!names.every((name) => (capabilities as readonly string[]).includes(name))) {
      throw this.refuse("capabilities", "a list of pull, resolve and push");
    }
    return names as Capability[];
  }

  /** A path, a list of paths, or a list of pairs; an empty key means that the certificate's file holds it. */
  #clientFiles(table: Table): HostEntry["clientFiles"] {
    const value = table.client ?? [];
    const list: unknown[] = Array.isArray(value) ? value : [value];
    if (list.length > CONFIG_ENTRIES_MAX) throw this.refuse("client", "a short list");
    return list.map((one) => {
      const [certificate, key, ...rest]: unknown[] = Array.isArray(one) ? one : [one];
      const isPair = typeof certificate === "string" && (key === undefined || typeof key === "string");
      if (!isPair || certificate === "" || rest.length > 0)
        throw this.refuse("client", "paths or pairs of paths");
      const path = this.#absolute(certificate);
      return { certificate: path, key: key === undefined || key === "" ? path : this.#absolute(key) };
    });
  }

  #headers(table: Table): HostEntry["headers"] {
    const value = table.header ?? {};
    if (!isTable(value)) throw this.refuse("header", "a table");
    const headers: Record<string, readonly string[]> = {};
    for (const name of Object.keys(value)) {
      const lines = this.#strings(value, name);
      const isSound =
        /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name) && lines.every((line) => /^[\x20-\x7e\t]*$/.test(line));
      if (!isSound) throw this.refuse("header", "a table of header lines");
      headers[name.toLowerCase()] = lines;
    }
    return headers;
  }

  #dialTimeout(table: Table): number | undefined {
    const value = table.dial_timeout;
    if (value === undefined) return undefined;
    const milliseconds = typeof value === "string" ? durationMs(value) : undefined;
    if (milliseconds === undefined || milliseconds <= 0)
      throw this.refuse("dial_timeout", 'a duration such as "30s"');
    return milliseconds;
  }

  #absolute(path: string): string {
    return isAbsolute(path) ? path : join(this.#folder, path);
  }
}
