import type { Test } from "tap";
import { cleanupCases } from "./cleanup-cases.js";
import { crashCases } from "./crash-cases.js";
import { labelCases } from "./label-cases.js";
import { layerCases } from "./layer-cases.js";
import { nowNanoseconds } from "./lazy-rig.js";
import { nameCases } from "./name-cases.js";
import { parentCases } from "./parent-cases.js";
import { raceCases } from "./race-cases.js";
import { recordCases } from "./record-cases.js";
import { refusalCases } from "./refusal-cases.js";
import { restartCases } from "./restart-cases.js";
import { lacking, noTraits, type SuiteCases, type SuiteSnapshotter, type SuiteTraits } from "./suite-case.js";
import { SuiteRig } from "./suite-rig.js";
import { type SuiteRowName, suiteTable } from "./table.js";
import { treeCases } from "./tree-cases.js";
import { usageCases } from "./usage-cases.js";
import { walkCases } from "./walk-cases.js";

export interface SuiteOptions extends Partial<SuiteTraits> {
  /** Shown in the names of the cases. */
  readonly name: string;
  /** Makes a fresh snapshotter. */
  readonly make: () => Promise<SuiteSnapshotter>;
  /** The clock that the snapshotter's times come from. */
  readonly now: () => bigint;
}

/** On a machine that does other things too. */
const ROWS_TIMEOUT_MS = 300_000;

const allCases: SuiteCases = {
  ...recordCases,
  ...refusalCases,
  ...labelCases,
  ...walkCases,
  ...nameCases,
  ...treeCases,
  ...layerCases,
  ...parentCases,
  ...usageCases,
  ...raceCases,
  ...cleanupCases,
  ...restartCases,
  ...crashCases,
};

/**
 * What containerd demands of a snapshotter (core/snapshots/testsuite, 21 cases), in our own words, and what that suite
 * does not look at: the filter language, field paths, limits, races, restarts, crashes, orphans, exact usage, odd names
 * and files, the words of refusals. Mounts really, so it needs root; the umask must be 0.
 */
export async function snapshotterSuite(t: Test, options: SuiteOptions): Promise<void> {
  const traits: SuiteTraits = { ...noTraits, ...options };
  const made = await options.make();
  t.teardown(async () => await made.dispose());
  let snapshotter = made.snapshotter;
  const restart = async (): Promise<void> => {
    snapshotter = await made.restart!();
  };
  const answered = new Set<string>();
  const skipped = new Set<string>();
  for (const [name, { needs, run }] of Object.entries(allCases)) {
    const lacks = lacking(needs, made, traits);
    const reason =
      traits.without[name] ?? (lacks.length > 0 ? `this one lacks: ${lacks.join(", ")}` : undefined);
    if (reason !== undefined) skipped.add(name);
    await t.test(`${options.name}: ${name}`, reason === undefined ? {} : { skip: reason }, async (t) => {
      const { now } = options;
      const place = { snapshotter: () => snapshotter, made, restart, answered };
      await run(new SuiteRig({ ...place, t, now, traits, caseName: name }));
    });
  }
  await t.test(`${options.name}: CloseTwice`, async (t) => {
    await snapshotter.close();
    await snapshotter.close();
    t.pass("closed twice");
  });
  checkExceptions(t, traits, { answered, skipped });
}

/** An exception that is not needed hides the day when it is. */
function checkExceptions(
  t: Test,
  traits: SuiteTraits,
  seen: { readonly answered: ReadonlySet<string>; readonly skipped: ReadonlySet<string> },
): void {
  for (const name of Object.keys(traits.without)) {
    if (!(name in allCases)) t.fail(`${name} is excepted and is no case`);
  }
  for (const what of Object.keys(traits.answers)) {
    const isDue = !seen.skipped.has(what.slice(0, what.indexOf(":")));
    if (isDue && !seen.answered.has(what)) t.fail(`the exception "${what}" was not needed`);
  }
}

/** Runs the suite on some rows of the table. */
export async function suiteRows(t: Test, names: readonly SuiteRowName[]): Promise<void> {
  // Modes of files are part of what is compared.
  process.umask(0);
  t.setTimeout(ROWS_TIMEOUT_MS);
  for (const name of names) {
    await t.test(`${name}: is a snapshotter as containerd wants it`, async (t) => {
      await snapshotterSuite(t, { ...suiteTable[name], name, now: nowNanoseconds });
    });
  }
}
