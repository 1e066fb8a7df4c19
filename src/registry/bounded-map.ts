/** A map that forgets the entry that was set or used longest ago when it is full. */
export class BoundedMap<Key, Value> {
  readonly #entries = new Map<Key, Value>();
  readonly #entriesMax: number;
  readonly #dropped: ((value: Value) => void) | undefined;

  constructor(options: { entriesMax: number; dropped?: (value: Value) => void }) {
    this.#entriesMax = options.entriesMax;
    this.#dropped = options.dropped;
  }

  get(key: Key): Value | undefined {
    const value = this.#entries.get(key);
    if (value === undefined) return undefined;
    this.#entries.delete(key);
    this.#entries.set(key, value);
    return value;
  }

  set(key: Key, value: Value): void {
    this.#entries.delete(key);
    this.#entries.set(key, value);
    if (this.#entries.size <= this.#entriesMax) return;
    const [oldestKey, oldest] = this.#entries.entries().next().value!;
    this.#entries.delete(oldestKey);
    this.#dropped?.(oldest);
  }

  delete(key: Key): void {
    this.#entries.delete(key);
  }

  entries(): Iterable<[Key, Value]> {
    return this.#entries.entries();
  }

  values(): Iterable<Value> {
    return this.#entries.values();
  }
}
