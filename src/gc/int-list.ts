const LENGTH_FIRST = 1024;

/** A growing list of 32-bit integers. Reads are not checked: the caller knows the length. */
export class IntList {
  #values = new Int32Array(LENGTH_FIRST);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  at(index: number): number {
    return this.#values[index]!;
  }

  set(index: number, value: number): void {
    this.#values[index] = value;
  }

  push(value: number): void {
    if (this.#length === this.#values.length) {
      const larger = new Int32Array(this.#length * 2);
      larger.set(this.#values);
      this.#values = larger;
    }
    this.#values[this.#length] = value;
    this.#length += 1;
  }

  /** The last value, which leaves the list; the list must have one. */
  pop(): number {
    this.#length -= 1;
    return this.#values[this.#length]!;
  }
}
