import { LazuliError } from "../../src/errors/index.js";

/** A parser as a fuzzer calls it: what it throws is a finding. */
export type FuzzTarget = (bytes: Buffer) => void | Promise<void>;

/** A parser that may refuse what it is given, by a typed error. */
export function refusing(read: (bytes: Buffer) => unknown): (bytes: Buffer) => void {
  return (bytes) => {
    try {
      read(bytes);
    } catch (thrown) {
      if (!(thrown instanceof LazuliError)) throw thrown;
    }
  };
}

/** The same for one that answers later. */
export function refusingLater(read: (bytes: Buffer) => Promise<unknown>): (bytes: Buffer) => Promise<void> {
  return async (bytes) => {
    try {
      await read(bytes);
    } catch (thrown) {
      if (!(thrown instanceof LazuliError)) throw thrown;
    }
  };
}

/** What a parser of several texts gets: the lines of the input, as many as it wants, missing ones empty. */
export function linesOf(bytes: Buffer, count: number): string[] {
  const lines = bytes.toString("latin1").split("\n");
  return Array.from({ length: count }, (_, index) =>
    index === count - 1 ? lines.slice(index).join("\n") : (lines[index] ?? ""),
  );
}
