import { invalidArgument, type LazuliError, resourceExhausted } from "../errors/index.js";

/** Why an index can't be used: the `reason` of the error. */
export type FineReason =
  | "fine-table-malformed"
  | "fine-table-version"
  | "fine-other-layer"
  | "fine-codec"
  | "fine-leaf-size"
  | "fine-count"
  | "fine-order"
  | "fine-range"
  | "fine-bits"
  | "fine-ratio"
  | "fine-window"
  | "fine-tree";

/** Why an index is more than we take. */
export type FineLimit =
  | "fine-table-too-large"
  | "fine-too-many-spans"
  | "fine-too-many-leaves"
  | "fine-span-too-large"
  | "fine-data-too-large"
  | "fine-tree-too-large";

export function refuseFine(reason: FineReason, problem: string): LazuliError {
  return invalidArgument(`Cannot use index table: ${problem}`, { reason });
}

export function refuseFineSize(reason: FineLimit, problem: string): LazuliError {
  return resourceExhausted(`Cannot use index table: ${problem}`, { reason });
}
