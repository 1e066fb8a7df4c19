import { shuffled } from "../link/index.js";
import type { Workload } from "../workloads/index.js";
import type { Contestant } from "./contestants.js";
import type { LinkShape } from "./lab.js";

/** One thing to measure. */
export interface Task {
  readonly kind: "start" | "concurrent" | "mounted";
  /** As the report names it. */
  readonly subject: string;
  readonly workload: Workload;
  readonly contestant: Contestant;
  readonly link: LinkShape;
  readonly round: number;
  /** Containers that start at once. */
  readonly containers: number;
}

export interface PlanOptions {
  readonly workloads: readonly Workload[];
  readonly contestants: readonly Contestant[];
  readonly links: readonly LinkShape[];
  readonly rounds: number;
  readonly concurrent: number | undefined;
  readonly mounted: number | undefined;
}

/** Round after round, each with everything in an order of its own. */
export function planRounds(options: PlanOptions, random: () => number): readonly Task[] {
  return Array.from({ length: options.rounds }, (_, round) =>
    shuffled(tasksOfRound(options, round), random),
  ).flat();
}

function tasksOfRound(options: PlanOptions, round: number): readonly Task[] {
  const { workloads, contestants, links, concurrent, mounted } = options;
  const starts = workloads.flatMap((workload) =>
    links.flatMap((link) => {
      const subject = links.length === 1 ? workload.name : `${workload.name}, ${link.rttMs} ms round trips`;
      return contestants.map(
        (contestant): Task => ({
          kind: "start",
          subject,
          workload,
          contestant,
          link,
          round,
          containers: 1,
        }),
      );
    }),
  );
  // Of one workload only: what is asked is how the engine stands it.
  const [workload, link] = [workloads[0]!, links[0]!];
  const cold = contestants.filter(({ isLocal }) => !isLocal);
  const at = { workload, link, round };
  const together =
    concurrent === undefined
      ? []
      : cold.map(
          (contestant): Task => ({
            kind: "concurrent",
            subject: `${concurrent} starts of ${workload.name} at once`,
            contestant,
            containers: concurrent,
            ...at,
          }),
        );
  const crowded =
    mounted === undefined
      ? []
      : cold
          .filter(({ kind, format }) => kind.startsWith("lazuli") && format === "estargz")
          .map(
            (contestant): Task => ({
              kind: "mounted",
              subject: `${workload.name} beside ${mounted} mounted layers`,
              contestant,
              containers: 1,
              ...at,
            }),
          );
  return [...starts, ...together, ...crowded];
}
