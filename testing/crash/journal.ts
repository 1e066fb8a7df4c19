import { appendFileSync, readFileSync } from "node:fs";
import { applyChanges, type FactChange, type Facts, type FactValue, valueText } from "./facts.js";

/** JSON has no undefined: an absent value is null. */
type StoredChange = readonly [name: string, value: FactValue | null];

type Entry =
  | {
      readonly kind: "begin";
      readonly operation: number;
      readonly at: number;
      readonly changes: readonly StoredChange[];
    }
  | { readonly kind: "acknowledged" | "failed"; readonly operation: number; readonly at: number };

/**
 * What the workload was promised and when. It lies outside the disk that is tried; every line is written before the
 * workload goes on, so it says no less than the workload knew when its process was killed.
 */
export class JournalWriter {
  readonly #path: string;
  readonly #position: () => number;
  /** Processes that write one journal after another count on, each from a start of its own. */
  #operations = process.pid * 1_000_000;

  /** `position` tells how much the disk has done so far. */
  constructor(options: { readonly path: string; readonly position: () => number }) {
    this.#path = options.path;
    this.#position = options.position;
  }

  begin(changes: readonly FactChange[]): number {
    this.#operations += 1;
    const operation = this.#operations;
    const stored = changes.map(([name, value]): StoredChange => [name, value ?? null]);
    this.#append({ kind: "begin", operation, at: this.#position(), changes: stored });
    return operation;
  }

  end(operation: number, kind: "acknowledged" | "failed"): void {
    this.#append({ kind, operation, at: this.#position() });
  }

  #append(entry: Entry): void {
    appendFileSync(this.#path, `${JSON.stringify(entry)}\n`);
  }
}

/** The texts of the values that each fact may have; a fact that is missing here must be absent. */
export type Allowed = ReadonlyMap<string, ReadonlySet<string>>;

export class Journal {
  readonly #entries: readonly Entry[];

  private constructor(entries: readonly Entry[]) {
    this.#entries = entries;
  }

  static read(path: string): Journal {
    const lines = readFileSync(path, "utf8").split("\n");
    // The last line ends the file with a line feed, or was cut by a kill.
    return new Journal(lines.slice(0, -1).map((line) => JSON.parse(line) as Entry));
  }

  /** Where the disk was when something was promised. */
  acknowledgedAt(): number[] {
    return this.#entries.filter(({ kind }) => kind === "acknowledged").map(({ at }) => at);
  }

  /** What may be found when the disk stopped at a position: all that was promised, and of what was under way both. */
  allowedAt(position: number): Allowed {
    const facts: Facts = new Map();
    const running = new Map<number, readonly FactChange[]>();
    for (const entry of this.#entries) {
      if (entry.at > position) break;
      if (entry.kind === "begin") {
        running.set(
          entry.operation,
          entry.changes.map(([name, value]): FactChange => [name, value ?? undefined]),
        );
      } else {
        if (entry.kind === "acknowledged") applyChanges(facts, running.get(entry.operation) ?? []);
        running.delete(entry.operation);
      }
    }
    const allowed = new Map<string, Set<string>>();
    for (const [name, value] of facts) allowed.set(name, new Set([valueText(value)]));
    for (const changes of running.values()) {
      for (const [name, value] of changes) {
        const texts = allowed.get(name) ?? new Set([valueText(undefined)]);
        allowed.set(name, texts.add(valueText(value)));
      }
    }
    return allowed;
  }
}
