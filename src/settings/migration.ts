import { setAt, type TomlTable } from "./toml-tables.js";

export interface TakenKey {
  /** containerd's key, in the shape of form 4. */
  readonly from: string;
  /** Ours. */
  readonly to: string;
}

export interface DroppedKey {
  readonly key: string;
  /** As TOML would have it, cut; undefined for secrets. */
  readonly value: string | undefined;
  readonly reason: string;
}

/** A `hosts.toml` that stands for what containerd's config says of a registry. */
export interface HostsFile {
  /** Name of its folder. */
  readonly host: string;
  readonly text: string;
}

/** Longest value that is shown. */
const SHOWN_LENGTH_MAX = 80;

/** What is being made of a config of containerd. */
export class Migration {
  /** Our config, as TOML has it. */
  readonly document: TomlTable = {};
  readonly taken: TakenKey[] = [];
  readonly dropped: DroppedKey[] = [];
  readonly hosts: HostsFile[] = [];

  take(from: readonly string[], to: readonly string[], value: unknown): void {
    setAt(this.document, to, value);
    this.taken.push({ from: keyText(from), to: keyText(to) });
  }

  drop(key: readonly string[], value: unknown, reason: string): void {
    this.dropped.push({ key: keyText(key), value: shown(value), reason });
  }

  dropSecret(key: readonly string[], reason: string): void {
    this.dropped.push({ key: keyText(key), value: undefined, reason });
  }
}

/** A path as TOML writes it. */
export function keyText(path: readonly string[]): string {
  return path.map((part) => (/^[A-Za-z0-9_-]+$/.test(part) ? part : `'${part}'`)).join(".");
}

function shown(value: unknown): string {
  const text = JSON.stringify(value, (_, part) => (typeof part === "bigint" ? String(part) : part)) ?? "";
  return text.length > SHOWN_LENGTH_MAX ? `${text.slice(0, SHOWN_LENGTH_MAX - 1)}…` : text;
}
