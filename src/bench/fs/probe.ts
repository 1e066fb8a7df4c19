import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { failedPrecondition } from "../../errors/index.js";
import { projectFolder } from "../project-folder.js";
import { command } from "../tools/index.js";

const source = join(projectFolder, "native", "bench", "probe.cc");

export interface Cost {
  readonly nanoseconds: number;
  readonly count: number;
  readonly bytes: number;
}

export interface ProbeRun {
  readonly operation: string;
  /** Of the tree. */
  readonly folder: string;
  readonly jobs: number;
  readonly signal: AbortSignal;
}

/** The program that does the operations, so that nothing of Node is measured. */
export class Probe {
  readonly #program: string;
  readonly #lists: string;

  private constructor(program: string, lists: string) {
    this.#program = program;
    this.#lists = lists;
  }

  /**
   * Compiles it, and lists the names of a tree once: the lists are used on all trees, so that making them warms none.
   * @throws FAILED_PRECONDITION `compiler-missing`
   */
  static async make(options: {
    readonly work: string;
    readonly tree: string;
    readonly signal: AbortSignal;
  }): Promise<Probe> {
    const { work, tree, signal } = options;
    const [program, lists] = [join(work, "probe"), join(work, "lists")];
    try {
      await command("g++", ["-O2", "-std=c++20", "-pthread", "-o", program, source], { signal });
    } catch (thrown) {
      throw failedPrecondition(
        "Cannot measure a file system: want g++, which compiles what does the operations",
        {
          reason: "compiler-missing",
          hint: "apt-get install g++",
          cause: thrown,
        },
      );
    }
    await mkdir(lists);
    await command(program, ["list", tree, lists], { signal });
    return new Probe(program, lists);
  }

  async run({ operation, folder, jobs, signal }: ProbeRun): Promise<Cost> {
    const { stdout } = await command(this.#program, [operation, folder, this.#lists, String(jobs)], {
      signal,
    });
    return JSON.parse(stdout) as Cost;
  }
}
