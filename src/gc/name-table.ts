import { IntList } from "./int-list.js";

/** Parts of the table, chosen by the upper bits of the hash. Each grows by itself, which takes a millisecond at most. */
const SHARD_BITS = 8;
const SLOTS_FIRST = 16;
const EMPTY = -1;

/**
 * Numbers names, from 0 on. A name is a key in a space. Open hash tables over one list of texts: with a million
 * digests they take half the time of a `Map`, and growing one does not stop the process for a tenth of a second.
 */
export class NameTable {
  readonly #keys: string[] = [];
  readonly #spaces = new IntList();
  readonly #hashes = new IntList();
  /** Numbers of names by hash; at most half of a shard is taken. */
  readonly #shards = Array.from({ length: 1 << SHARD_BITS }, () => new Int32Array(SLOTS_FIRST).fill(EMPTY));
  readonly #taken = new Int32Array(1 << SHARD_BITS);
  readonly #seed = Math.floor(Math.random() * 2 ** 31);

  get size(): number {
    return this.#keys.length;
  }

  key(id: number): string {
    return this.#keys[id]!;
  }

  space(id: number): number {
    return this.#spaces.at(id);
  }

  find(space: number, key: string): number | undefined {
    const hash = this.#hash(space, key);
    const found = this.#shards[shardOf(hash)]![this.#slotOf(space, key, hash)]!;
    return found === EMPTY ? undefined : found;
  }

  /** The number of a name, which is the next one when the name is new. */
  number(space: number, key: string): number {
    const hash = this.#hash(space, key);
    const shard = shardOf(hash);
    const slots = this.#shards[shard]!;
    const slot = this.#slotOf(space, key, hash);
    const found = slots[slot]!;
    if (found !== EMPTY) return found;
    const id = this.#keys.length;
    this.#keys.push(key);
    this.#spaces.push(space);
    this.#hashes.push(hash);
    slots[slot] = id;
    this.#taken[shard]! += 1;
    if (this.#taken[shard]! * 2 > slots.length) this.#grow(shard);
    return id;
  }

  /** Where the name is, or would be. */
  #slotOf(space: number, key: string, hash: number): number {
    const slots = this.#shards[shardOf(hash)]!;
    const mask = slots.length - 1;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const id = slots[slot]!;
      if (id === EMPTY) return slot;
      if (this.#hashes.at(id) === hash && this.#spaces.at(id) === space && this.#keys[id] === key)
        return slot;
    }
  }

  #grow(shard: number): void {
    const old = this.#shards[shard]!;
    const slots = new Int32Array(old.length * 2).fill(EMPTY);
    const mask = slots.length - 1;
    for (const id of old) {
      if (id === EMPTY) continue;
      let slot = this.#hashes.at(id) & mask;
      while (slots[slot] !== EMPTY) slot = (slot + 1) & mask;
      slots[slot] = id;
    }
    this.#shards[shard] = slots;
  }

  /** The seed differs for each table, so that nobody can choose names that meet. */
  #hash(space: number, key: string): number {
    let hash = this.#seed ^ space;
    for (let at = 0; at < key.length; at += 1) hash = Math.imul(hash ^ key.charCodeAt(at), 0x01000193);
    hash ^= hash >>> 15;
    hash = Math.imul(hash, 0x2c1b3c6d);
    return hash ^ (hash >>> 13);
  }
}

function shardOf(hash: number): number {
  return hash >>> (32 - SHARD_BITS);
}
