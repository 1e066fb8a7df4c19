import { closeSync, openSync, readSync, writeSync } from "node:fs";

/** Bits of fail-calls.c. */
export const faultKinds = { write: 1, sync: 2, open: 4, rename: 8, mkdir: 16, link: 32 } as const;
export type FaultKind = keyof typeof faultKinds;

export const CONTROL_BYTES = 4096;
const NUMBERS = 5;

/** Switches the faults of the process that it runs in: the library maps the same file. */
export class FaultSwitch {
  readonly #file: number;

  constructor(path: string) {
    this.#file = openSync(path, "r+");
  }

  /** From now on, the `first`th call of these kinds fails with this errno, and no other. */
  arm(fault: { readonly kinds: readonly FaultKind[]; readonly first: number; readonly errno: number }): void {
    const bits = fault.kinds.reduce((sum, kind) => sum | faultKinds[kind], 0);
    this.#write([0, 0, 0, 0, 0]);
    this.#write([bits, fault.first, fault.errno, 0, 0]);
  }

  /** @returns how many calls were seen, and whether one failed */
  disarm(): { readonly seen: number; readonly failed: number } {
    const numbers = Buffer.alloc(NUMBERS * 4);
    readSync(this.#file, numbers, 0, numbers.length, 0);
    this.#write([0, 0, 0, 0, 0]);
    return { seen: numbers.readInt32LE(12), failed: numbers.readInt32LE(16) };
  }

  close(): void {
    closeSync(this.#file);
  }

  #write(numbers: readonly number[]): void {
    const bytes = Buffer.alloc(NUMBERS * 4);
    numbers.forEach((value, index) => {
      bytes.writeInt32LE(value, index * 4);
    });
    writeSync(this.#file, bytes, 0, bytes.length, 0);
  }
}
