import { failedPrecondition } from "../errors/index.js";
import type { Metadata } from "./metadata.js";
import { counters } from "./table.js";
import type { Transaction } from "./transaction.js";

/** One step from a version of the layout to the next: durable as a whole or not at all. */
export interface Migration {
  /** For messages. */
  readonly name: string;
  /** Makes rows of the version before into rows of the version that the step's place in the list stands for. */
  readonly run: (transaction: Transaction) => void;
}

const VERSION = "schema";

/** The first one makes version 2 of version 1. Steps are only ever added. */
export const migrations: readonly Migration[] = [
  // Adds tables and leaves the rows of version 1 alone; the number keeps a lazuli out that doesn't know these tables.
  { name: "content, images, leases and namespaces", run: () => undefined },
];

/**
 * Brings the metadata to the version that the steps lead to. A crash leaves it between two steps, and the next open
 * goes on from there. @throws FAILED_PRECONDITION when it is of a newer version
 */
export async function migrate(
  metadata: Metadata,
  { directory, steps }: { readonly directory: string; readonly steps: readonly Migration[] },
): Promise<void> {
  const newest = steps.length + 1;
  const found = metadata.get(counters, VERSION);
  if (found === undefined) {
    await metadata.write((transaction) => transaction.put(counters, VERSION, newest));
    return;
  }
  if (!Number.isInteger(found) || found < 1 || found > newest)
    throw otherVersion({ directory, found, newest });
  for (const [index, step] of steps.entries()) {
    const version = index + 2;
    if (version <= found) continue;
    await metadata.write((transaction) => {
      step.run(transaction);
      transaction.put(counters, VERSION, version);
    });
  }
}

function otherVersion(facts: { directory: string; found: number; newest: number }): Error {
  const { directory, found, newest } = facts;
  return failedPrecondition(
    `Cannot open the metadata in ${directory}: want version 1 to ${newest}, got ${found}`,
    {
      subject: directory,
      reason: "metadata-version",
      hint: "It was written by a newer release of lazuli: run that release, or take another root",
    },
  );
}
