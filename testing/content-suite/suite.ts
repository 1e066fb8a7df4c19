import type { Test } from "tap";
import type { ContentStore } from "../../src/content/contract.js";
import { commitCases } from "./commit-cases.js";
import { ingestCases } from "./ingest-cases.js";
import { readCases } from "./read-cases.js";
import { recordCases } from "./record-cases.js";
import { reopenCases } from "./reopen-cases.js";
import { ContentRig, type StoreTraits } from "./suite-rig.js";
import { writeCases } from "./write-cases.js";

export interface SuiteStore {
  readonly store: ContentStore;
  /** Takes away everything that the factory and the suite made. */
  dispose(): Promise<void>;
  /** Ends the store and opens another over the same files. */
  reopen?(): Promise<ContentStore>;
}

export interface ContentSuiteOptions extends Partial<StoreTraits> {
  /** Shown in the names of the cases. */
  readonly name: string;
  readonly factory: () => Promise<SuiteStore>;
  /** The clock that the store's times come from. */
  readonly now: () => bigint;
}

/**
 * What containerd demands of a content store (core/content/testsuite, 12 cases), in our own words, and what that suite
 * does not look at: other algorithms, filters, walks, deletion, odd refs, races, and a restart between any two steps.
 */
export async function contentSuite(t: Test, options: ContentSuiteOptions): Promise<void> {
  const made = await options.factory();
  t.teardown(async () => await made.dispose());
  let store = made.store;
  const traits: StoreTraits = {
    algorithms: options.algorithms ?? ["sha256", "sha384", "sha512"],
    keepsLabels: options.keepsLabels ?? true,
    filtersBySize: options.filtersBySize ?? true,
    refBytesMax: options.refBytesMax ?? 4096,
    takesNulInRefs: options.takesNulInRefs ?? true,
  };
  const reopen =
    made.reopen === undefined
      ? undefined
      : async () => {
          store = await made.reopen!();
        };
  const cases = {
    ...writeCases,
    ...ingestCases,
    ...commitCases,
    ...readCases,
    ...recordCases,
    ...(reopen === undefined ? {} : reopenCases),
  };
  for (const [prefix, run] of Object.entries(cases)) {
    await t.test(`${options.name}: ${prefix}`, async (t) => {
      await run(new ContentRig({ t, prefix, now: options.now, traits, store: () => store, reopen }));
    });
  }
}
