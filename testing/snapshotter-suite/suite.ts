import type { Test } from "tap";
import type { Snapshotter } from "../../src/snapshotters/index.js";
import { recordCases } from "./record-cases.js";
import { SuiteRig } from "./suite-rig.js";
import { treeCases } from "./tree-cases.js";

export interface SuiteOptions {
  /** Shown in the names of the cases. */
  readonly name: string;
  /** Makes a fresh snapshotter, and takes away everything it made. */
  readonly make: () => Promise<{ snapshotter: Snapshotter; dispose: () => Promise<void> }>;
  /** The clock that the snapshotter's times come from. */
  readonly now: () => bigint;
}

/**
 * What containerd demands of a snapshotter (core/snapshots/testsuite, 21 cases), in our own words. Mounts really, so
 * it needs root.
 */
export async function snapshotterSuite(t: Test, options: SuiteOptions): Promise<void> {
  const { snapshotter, dispose } = await options.make();
  t.teardown(dispose);
  for (const [name, run] of Object.entries({ ...recordCases, ...treeCases })) {
    await t.test(`${options.name}: ${name}`, async (t) => {
      await run(new SuiteRig({ snapshotter, t, now: options.now, prefix: name }));
    });
  }
  await t.test(`${options.name}: CloseTwice`, async (t) => {
    await snapshotter.close();
    await snapshotter.close();
    t.pass("closed twice");
  });
}
