import type { Counts } from "../testing/counts/index.js";

/** A promise about what may go wrong, with what shows it. */
interface Goal {
  readonly id: string;
  readonly promise: string;
  /** What `npm test` does. */
  readonly gate: string;
  /** What does more. */
  readonly night: string;
  /** Figures of the last run: the test's name in build/counts, then keys of it. */
  readonly figures: readonly (readonly [name: string, ...keys: string[]])[];
  /** What is not shown. */
  readonly missing: string;
}

const kills = ["kills", "files read", "failed reads", "files with wrong bytes", "ms longest stall"];

const goals: readonly Goal[] = [
  {
    id: "G1",
    promise: "No byte is served that was not verified",
    gate: "400 positions",
    night: "`LAZULI_POSITIONS=10000`, `faults/corrupted-positions`",
    figures: [["corrupted-positions", "positions", "wrong bytes"]],
    missing: "the gate has 400 of the 2,000 positions that were asked for",
  },
  {
    id: "G2",
    promise: "Nothing acknowledged is lost with the power",
    gate: "2,000 images, ext4",
    night: "`test:long`: 200,000",
    figures: [["power-loss", "images", "promises"]],
    missing: "xfs and btrfs",
  },
  {
    id: "G3",
    promise: "Nothing acknowledged is lost by a kill",
    gate: "every failure point once, then random kills",
    night: "`test:long`: 1,000 kills",
    figures: [["crash-kills", "points", "kills"]],
    missing: "10,000 kills, and a kill at the n-th system call",
  },
  {
    id: "G4",
    promise: "The death of the daemon fails no read",
    gate: "20 + 5 + 5 kills, 50 readers",
    night: "`test:long`: 1,000 + 250 + 250",
    figures: [
      ["takeover-snapshotter-erofs", ...kills],
      ["takeover-daemon-erofs", ...kills],
      ["takeover-snapshotter-fuse-tree", ...kills],
    ],
    missing:
      "a longest stall of 1 s: a read waits for the start of the process, which is slow on a busy machine",
  },
  {
    id: "G5",
    promise: "No read hangs for ever",
    gate: "every behaviour of a registry in 4 phases",
    night: "the same",
    figures: [["registry-phases", "behaviours", "cases"]],
    missing: "ten seeds",
  },
  {
    id: "G6",
    promise: "Hostile input harms nothing",
    gate: "all cases, 60 s of fuzzing",
    night: "`test:long`: an hour for each fuzzer",
    figures: [
      ["hostile-gate", "cases"],
      ["fuzz", "executions", "findings"],
      ["fuzz-native", "executions", "findings"],
    ],
    missing: "10^9 executions",
  },
  {
    id: "G7",
    promise: "What is seen lazily is what is seen eagerly",
    gate: "formats x contents, beside containerd's unpacking",
    night: "`LAZULI_MATRIX=full`",
    figures: [],
    missing: "200 real layers: this machine reaches no public registry",
  },
  {
    id: "G8",
    promise: "A collection removes what nothing reaches, and no more",
    gate: "10,000 operations beside a model",
    night: "`test:long`: 1,000,000",
    figures: [["gc-model", "operations"]],
    missing: "10,000 concurrent pulls",
  },
  {
    id: "G9",
    promise: "One layer is fetched once",
    gate: "20 containers at once",
    night: "the same",
    figures: [],
    missing: "50 and 200 clients",
  },
  {
    id: "G10",
    promise: "Nothing leaks",
    gate: "8 cycles of pull, run, exec and remove; 20 containers; 10 pods; 100 commands",
    night: "`test:long`: 200, 100, 200, 10,000",
    figures: [
      [
        "cycles",
        "cycles",
        "things left",
        "descriptors more than before",
        "LMDB readers more than before",
        "KiB of memory from the second quarter to the last",
        "kinds of objects left",
        "KiB of heap a cycle",
      ],
    ],
    missing:
      "10,000 cycles, and less than 1 KiB of memory a cycle: what is remembered of the last 1,024 images takes more",
  },
  {
    id: "G11",
    promise: "The daemon starts without network",
    gate: "200 lazy layers; 50 after a loss of power",
    night: "`test:long`: 1,000 and 250",
    figures: [
      ["offline-start", "layers", "ms until the API was ready"],
      ["offline-start-power-loss", "layers", "ms until the API was ready"],
    ],
    missing: "1 s, where the machine is busy",
  },
  {
    id: "G12",
    promise: "A full disk, no descriptors, no memory: refuse, keep, recover",
    gate: "ENOSPC and EMFILE in store, engine and daemon",
    night: "the same",
    figures: [],
    missing: "the kernel's kill for memory at 100 points",
  },
  {
    id: "G13",
    promise: "A secret does not leave its host",
    gate: "all ways",
    night: "the same",
    figures: [["canaries", "combinations", "texts"]],
    missing: "core files",
  },
  {
    id: "G14",
    promise: "Nothing of the host is touched, and nothing of ours is open to others",
    gate: "canaries beside hostile layers; modes of folders and sockets",
    night: "the same",
    figures: [],
    missing: "10,000 swap races, and a pod in the host's network",
  },
  {
    id: "G15",
    promise: "The same API gives the same answers",
    gate: "suites of content and snapshots, sessions of `ctr`",
    night: "`scripts/suites`: containerd's client suite, critest",
    figures: [],
    missing: "20 runs; what did not pass stands above",
  },
  {
    id: "G16",
    promise: "An upgrade and its way back lose nothing",
    gate: "migrations of metadata; a takeover by the same version",
    night: "the same",
    figures: [],
    missing: "pairs of releases: there is one",
  },
  {
    id: "G17",
    promise: "Load is held",
    gate: "20 containers at once; small contents",
    night: "`LAZULI_MATRIX=full`: 100,000 files, 6 GiB",
    figures: [],
    missing: "500 containers, 50 starts a second, 10^6 files, 20 GB in one file",
  },
  {
    id: "G18",
    promise: "All of it at once, for long",
    gate: "nothing",
    night: "nothing",
    figures: [],
    missing: "all: no test mixes the faults",
  },
];

/** The table of docs/testing.md, with figures of what has run. */
export function goalRows(counts: readonly Counts[]): string[] {
  const byName = new Map(counts.map((one) => [one.name, one.figures]));
  const shown = ({ figures }: Goal): string =>
    figures
      .map(([name, ...keys]) => {
        const found = byName.get(name);
        const texts = keys.filter((key) => found?.[key] !== undefined);
        return texts.map((key) => `${found![key]!.toLocaleString("en-US")} ${key}`).join(", ");
      })
      .filter((text) => text !== "")
      .join("; ");
  return [
    "| Goal | Promise | `npm test` | More | Counted | Not shown |",
    "| --- | --- | --- | --- | --- | --- |",
    ...goals.map(
      (goal) =>
        `| ${goal.id} | ${goal.promise} | ${goal.gate} | ${goal.night} | ${shown(goal)} | ${goal.missing} |`,
    ),
  ];
}
