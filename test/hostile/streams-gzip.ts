import { crc32 } from "node:zlib";

const FIXED_END = [0, 7] as const;

/** Writes deflate by hand (RFC 1951): bits from the lowest on, codes from their highest bit on. */
export class DeflateWriter {
  readonly #bytes: number[] = [];
  #bit = 0;

  bits(value: number, count: number): this {
    for (let at = 0; at < count; at += 1) this.#put((value >>> at) & 1);
    return this;
  }

  code(value: number, count: number): this {
    for (let at = count - 1; at >= 0; at -= 1) this.#put((value >>> at) & 1);
    return this;
  }

  /** The three bits that a block begins with. */
  block(type: 0 | 1 | 2 | 3, isLast = true): this {
    return this.bits(isLast ? 1 : 0, 1).bits(type, 2);
  }

  align(): this {
    while (this.#bit % 8 !== 0) this.#put(0);
    return this;
  }

  raw(bytes: Uint8Array): this {
    this.align();
    this.#bytes.push(...bytes);
    this.#bit += bytes.length * 8;
    return this;
  }

  /** A stored block, whose lengths may lie. */
  stored(bytes: Uint8Array, isLast = true, length = bytes.length, inverse = length ^ 0xffff): this {
    return this.block(0, isLast).align().bits(length, 16).bits(inverse, 16).raw(bytes);
  }

  /** A literal or length of the fixed code. */
  fixed(symbol: number): this {
    if (symbol < 144) return this.code(0x30 + symbol, 8);
    if (symbol < 256) return this.code(0x190 + symbol - 144, 9);
    return symbol < 280 ? this.code(symbol - 256, 7) : this.code(0xc0 + symbol - 280, 8);
  }

  /** A match of 3 bytes in the fixed code. */
  match(distanceCode: number, extra = 0, extraBits = 0): this {
    return this.fixed(257).code(distanceCode, 5).bits(extra, extraBits);
  }

  text(text: string): this {
    for (const byte of Buffer.from(text)) this.fixed(byte);
    return this;
  }

  end(): this {
    return this.code(...FIXED_END);
  }

  /** The head of a dynamic block: its counts, and the lengths of the code of lengths, in the order of their numbers. */
  dynamic(counts: { literals: number; distances: number }, lengths: Readonly<Record<number, number>>): this {
    const order = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
    this.block(2)
      .bits(counts.literals - 257, 5)
      .bits(counts.distances - 1, 5)
      .bits(order.length - 4, 4);
    for (const symbol of order) this.bits(lengths[symbol] ?? 0, 3);
    return this;
  }

  get bytes(): Buffer {
    return Buffer.from(this.#bytes);
  }

  #put(bit: number): void {
    const at = this.#bit >>> 3;
    this.#bytes[at] = (this.#bytes[at] ?? 0) | (bit << (this.#bit & 7));
    this.#bit += 1;
  }
}

/** Says how a member's header differs from the shortest one. */
export interface MemberOptions {
  readonly flags?: number;
  readonly method?: number;
  /** What follows the ten bytes of the header. */
  readonly fields?: Buffer;
}

/** A gzip member (RFC 1952) around deflated bytes, with the right trailer for `data`. */
export function member(deflated: Buffer, data: Buffer, options: MemberOptions = {}): Buffer {
  const { flags = 0, method = 8, fields = Buffer.alloc(0) } = options;
  const trailer = Buffer.alloc(8);
  trailer.writeUInt32LE(crc32(data), 0);
  trailer.writeUInt32LE(data.length % 2 ** 32, 4);
  return Buffer.concat([Buffer.of(0x1f, 0x8b, method, flags, 0, 0, 0, 0, 0, 255), fields, deflated, trailer]);
}

/** A member of one stored block. */
export function storedMember(data: Buffer, options: MemberOptions = {}): Buffer {
  return member(new DeflateWriter().stored(data).bytes, data, options);
}
