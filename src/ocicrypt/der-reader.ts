import { invalidArgument } from "../errors/index.js";
import { DER_VALUES_MAX } from "./limits.js";

/** Identifier octets (X.690 §8.1.2). */
export const derTags = {
  integer: 0x02,
  octets: 0x04,
  objectIdentifier: 0x06,
  sequence: 0x30,
  /** Go's pkcs7 packages put the parameters of GCM into one, against X.690 §8.9.1, and the nonce there under [4]. */
  primitiveSequence: 0x10,
  context4: 0x84,
  set: 0x31,
  /** [0] of its context, primitive and constructed. */
  context0: 0x80,
  context0Constructed: 0xa0,
} as const;

export interface DerValue {
  readonly tag: number;
  readonly content: Buffer;
}

/** Reads the values of DER one after the other, a level at a time. Lengths must be definite and within their parent. */
export class DerReader {
  readonly #bytes: Buffer;
  readonly #budget: { left: number };
  #at = 0;

  constructor(bytes: Buffer, budget = { left: DER_VALUES_MAX }) {
    this.#bytes = bytes;
    this.#budget = budget;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  /** @throws INVALID_ARGUMENT */
  next(): DerValue {
    this.#budget.left -= 1;
    if (this.#budget.left < 0) throw derInvalid(`it has more than ${DER_VALUES_MAX} values`);
    const tag = this.#byte();
    if ((tag & 0x1f) === 0x1f) throw derInvalid("a tag is too long");
    const length = this.#length();
    if (length > this.#bytes.length - this.#at) throw derInvalid("a value ends behind what it lies in");
    const content = this.#bytes.subarray(this.#at, this.#at + length);
    this.#at += length;
    return { tag, content };
  }

  /** The next value's content, where it has the tag. */
  take(tag: number): Buffer {
    const value = this.next();
    if (value.tag !== tag) throw derInvalid(`want a value of tag ${tag}, got ${value.tag}`);
    return value.content;
  }

  /** A reader for what lies in the next value. */
  enter(tag: number): DerReader {
    return this.inside(this.take(tag));
  }

  inside(content: Buffer): DerReader {
    return new DerReader(content, this.#budget);
  }

  #length(): number {
    const first = this.#byte();
    if (first < 0x80) return first;
    const size = first & 0x7f;
    // 0 would be a length that is not told (BER).
    if (size === 0 || size > 4) throw derInvalid("a length is not that of DER");
    let length = 0;
    for (let index = 0; index < size; index += 1) length = length * 256 + this.#byte();
    return length;
  }

  #byte(): number {
    const byte = this.#bytes[this.#at];
    if (byte === undefined) throw derInvalid("it is cut off");
    this.#at += 1;
    return byte;
  }
}

export function derInvalid(what: string): Error {
  return invalidArgument(`Cannot read a wrapped key as PKCS#7: ${what}`, {
    reason: "encryption-annotations-invalid",
  });
}
