import { parentPort } from "node:worker_threads";

/** A stranger's index that goes wrong in a compiler, by what it says of itself. */
export interface CostlyInput {
  readonly harm: "memory" | "time" | "exit" | "crash";
}

/** What is held on to. */
const held: unknown[] = [];

parentPort?.on("message", ({ harm }: CostlyInput) => {
  if (harm === "exit") process.exit(1);
  if (harm === "crash") throw new TypeError("A compiler broke");
  // Neither ends by itself.
  for (let turn = 0; ; turn += 1) {
    if (harm === "memory") held.push(new Array(10_000).fill(turn));
  }
});
