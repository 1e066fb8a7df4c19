/**
 * A plain inflate (RFC 1951) that knows at which bit each block ends, which zlib in Node does not tell: it finds the
 * checkpoints of a stream, and decodes a span from one without the code under test.
 */
export interface InflateOptions {
  readonly bytes: Uint8Array;
  /** Where to begin, in bits. */
  readonly startBit: number;
  /** What the stream may refer back to. */
  readonly window: Uint8Array;
  /** Decoded bytes after which to stop; without it, at the end of the stream. */
  readonly length?: number;
}

export interface Inflated {
  readonly data: Buffer;
  /** After each block but the last one. */
  readonly blocks: readonly { readonly endBit: number; readonly dataEnd: number }[];
  readonly endBit: number;
}

const lengthBases = [
  3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195,
  227, 258,
];
const lengthExtras = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0];
const distanceBases = [
  1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097,
  6145, 8193, 12289, 16385, 24577,
];
const codeOrder = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/** Codes of each length, and the symbols in their order. */
interface Code {
  readonly counts: readonly number[];
  readonly symbols: readonly number[];
}

function makeCode(lengths: readonly number[]): Code {
  const counts = new Array<number>(16).fill(0);
  for (const length of lengths) counts[length]! += 1;
  counts[0] = 0;
  const symbols = lengths
    .map((length, symbol) => ({ length, symbol }))
    .filter(({ length }) => length > 0)
    .sort((left, right) => left.length - right.length || left.symbol - right.symbol)
    .map(({ symbol }) => symbol);
  return { counts, symbols };
}

const fixedLengths = makeCode(
  Array.from({ length: 288 }, (_, symbol) => (symbol < 144 ? 8 : symbol < 256 ? 9 : symbol < 280 ? 7 : 8)),
);
const fixedDistances = makeCode(new Array<number>(30).fill(5));

class Inflater {
  readonly #bytes: Uint8Array;
  #bit: number;
  #out: Buffer;
  #end: number;
  readonly #first: number;
  readonly #stop: number;

  constructor(options: InflateOptions) {
    this.#bytes = options.bytes;
    this.#bit = options.startBit;
    this.#first = options.window.length;
    this.#out = Buffer.alloc(this.#first + 1024 * 1024);
    this.#out.set(options.window);
    this.#end = this.#first;
    this.#stop = this.#first + (options.length ?? Number.POSITIVE_INFINITY);
  }

  run(): Inflated {
    const blocks: { endBit: number; dataEnd: number }[] = [];
    for (let isLast = false; !isLast && this.#end < this.#stop; ) {
      isLast = this.#bits(1) === 1;
      const type = this.#bits(2);
      if (type === 0) this.#stored();
      else if (type === 1) this.#coded(fixedLengths, fixedDistances);
      else if (type === 2) this.#coded(...this.#dynamicCodes());
      else throw new Error("inflate: block of type 3");
      if (!isLast) blocks.push({ endBit: this.#bit, dataEnd: this.#end - this.#first });
    }
    const end = Math.min(this.#end, this.#stop);
    return { data: this.#out.subarray(this.#first, end), blocks, endBit: this.#bit };
  }

  #bits(count: number): number {
    let value = 0;
    for (let at = 0; at < count; at++, this.#bit++) {
      const byte = this.#bytes[this.#bit >>> 3];
      if (byte === undefined) throw new Error("inflate: the stream is cut off");
      value |= ((byte >>> (this.#bit & 7)) & 1) << at;
    }
    return value;
  }

  #symbol({ counts, symbols }: Code): number {
    let code = 0;
    let first = 0;
    let index = 0;
    for (let length = 1; length < 16; length++) {
      code |= this.#bits(1);
      const count = counts[length]!;
      if (code - count < first) return symbols[index + code - first]!;
      index += count;
      first = (first + count) << 1;
      code <<= 1;
    }
    throw new Error("inflate: no such code");
  }

  #put(byte: number): void {
    if (this.#end === this.#out.length)
      this.#out = Buffer.concat([this.#out, Buffer.alloc(this.#out.length)]);
    this.#out[this.#end] = byte;
    this.#end += 1;
  }

  #stored(): void {
    this.#bit = (this.#bit + 7) & ~7;
    const length = this.#bits(16);
    this.#bits(16);
    for (let at = 0; at < length; at++) this.#put(this.#bits(8));
  }

  #coded(lengths: Code, distances: Code): void {
    while (this.#end < this.#stop) {
      const symbol = this.#symbol(lengths);
      if (symbol === 256) return;
      if (symbol < 256) {
        this.#put(symbol);
        continue;
      }
      const length = lengthBases[symbol - 257]! + this.#bits(lengthExtras[symbol - 257]!);
      const far = this.#symbol(distances);
      const distance = distanceBases[far]! + this.#bits(far < 4 ? 0 : (far >>> 1) - 1);
      if (distance > this.#end) throw new Error("inflate: too far back");
      for (let at = 0; at < length; at++) this.#put(this.#out[this.#end - distance]!);
    }
  }

  #dynamicCodes(): [Code, Code] {
    const lengthCount = this.#bits(5) + 257;
    const distanceCount = this.#bits(5) + 1;
    const codeCount = this.#bits(4) + 4;
    const codeLengths = new Array<number>(19).fill(0);
    for (let at = 0; at < codeCount; at++) codeLengths[codeOrder[at]!] = this.#bits(3);
    const code = makeCode(codeLengths);
    const lengths: number[] = [];
    while (lengths.length < lengthCount + distanceCount) {
      const symbol = this.#symbol(code);
      if (symbol < 16) lengths.push(symbol);
      else if (symbol === 16) this.#repeat(lengths, lengths.at(-1)!, 3 + this.#bits(2));
      else this.#repeat(lengths, 0, symbol === 17 ? 3 + this.#bits(3) : 11 + this.#bits(7));
    }
    return [makeCode(lengths.slice(0, lengthCount)), makeCode(lengths.slice(lengthCount))];
  }

  #repeat(lengths: number[], value: number, times: number): void {
    for (let at = 0; at < times; at++) lengths.push(value);
  }
}

export function inflate(options: InflateOptions): Inflated {
  return new Inflater(options).run();
}
