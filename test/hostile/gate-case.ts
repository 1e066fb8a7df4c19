import { type ErrorCode, LazuliError } from "../../src/errors/index.js";

/** One input of a stranger, and what must come of it. */
export interface GateCase {
  /** Of the catalogue, e.g. `O-dig`; a number is put behind it. */
  readonly group: string;
  readonly name: string;
  readonly run: () => unknown;
  readonly wanted: Refusal | Served;
}

export interface Refusal {
  readonly code: ErrorCode;
  readonly reason: string | undefined;
}

export interface Served {
  readonly value: unknown;
}

/** Only typed errors count as a refusal; whatever else is thrown is a finding. */
export async function outcomeOf({ run }: GateCase): Promise<Refusal | Served> {
  try {
    return { value: await run() };
  } catch (error) {
    if (!(error instanceof LazuliError)) throw error;
    return { code: error.code, reason: error.reason };
  }
}

type Input<Value> = readonly [name: string, input: Value];

/** The cases of one entry point that refuses all of these for one reason. */
export function refusals<Value>(
  options: { readonly group: string; readonly run: (input: Value) => unknown } & Refusal,
  inputs: readonly Input<Value>[],
): GateCase[] {
  const { group, run, code, reason } = options;
  return inputs.map(([name, input]) => ({
    group,
    name,
    run: () => run(input),
    wanted: { code, reason },
  }));
}

/** The cases of one entry point that gives each input its own answer. */
export function answers<Value>(
  group: string,
  run: (input: Value) => unknown,
  inputs: readonly (readonly [name: string, input: Value, value: unknown])[],
): GateCase[] {
  return inputs.map(([name, input, value]) => ({ group, name, run: () => run(input), wanted: { value } }));
}

export const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
