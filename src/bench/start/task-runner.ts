import { copyFile, mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Engine } from "../engines/index.js";
import type { PublishedImage } from "../images/index.js";
import type { Workload } from "../workloads/index.js";
import type { Contestant } from "./contestants.js";
import { fastLink, type Lab } from "./lab.js";
import { takeProfiles } from "./learn-profile.js";
import { measureConcurrent } from "./measure-concurrent.js";
import { type MeasuredStart, type MeasureStartOptions, measureStart } from "./measure-start.js";
import type { Task } from "./plan.js";

export interface TaskRunnerOptions {
  readonly lab: Lab;
  /** By the workload's name. */
  readonly images: ReadonlyMap<string, PublishedImage>;
  /** `repository:tag` of images that are mounted beside. */
  readonly layered: readonly string[];
  /** Takes the logs of daemons whose start failed. */
  readonly logFolder: string;
  readonly tell: (line: string) => void;
  readonly notes: string[];
  readonly signal: AbortSignal;
}

/** Measures one thing after the other, each on an engine of its own. */
export class TaskRunner {
  readonly #options: TaskRunnerOptions;
  /** By workload and contestant: a folder, or that nothing was learnt. */
  readonly #profiles = new Map<string, string | undefined>();
  #containers = 0;

  constructor(options: TaskRunnerOptions) {
    this.#options = options;
  }

  /** @throws whatever goes wrong; nothing of it is left then */
  async run(task: Task): Promise<MeasuredStart> {
    const { lab } = this.#options;
    const { contestant, workload } = task;
    const profiles = contestant.hasProfile ? await this.#learn(workload, contestant) : undefined;
    await lab.setLink(contestant.isLocal ? fastLink : task.link);
    await using engine = await lab.startEngine(contestant, { profiles });
    try {
      return await this.#measure(engine, task);
    } catch (thrown) {
      await keepLogs(engine, join(this.#options.logFolder, task.contestant.name));
      throw thrown;
    }
  }

  async #measure(engine: Engine, task: Task): Promise<MeasuredStart> {
    const { lab } = this.#options;
    const { contestant, workload } = task;
    if (task.kind === "mounted") {
      const { layered, signal } = this.#options;
      const host = lab.registryHost;
      for (const image of layered) {
        await engine.pull({ reference: `${host}/${image}`, sociIndex: undefined, signal });
      }
    }
    const measuring = this.#measuring(engine, workload, contestant);
    if (task.kind === "concurrent") {
      const figures = await measureConcurrent(measuring, task.containers);
      return { figures, trace: undefined, brought: undefined };
    }
    return await measureStart(measuring);
  }

  /** From a start on an engine of its own, once. */
  async #learn(workload: Workload, contestant: Contestant): Promise<string | undefined> {
    const key = `${workload.name}-${contestant.name}`;
    if (this.#profiles.has(key)) return this.#profiles.get(key);
    const { lab, tell, notes, signal } = this.#options;
    tell(`${workload.name}, ${contestant.name}: a start to learn from`);
    await lab.setLink(fastLink);
    await using engine = await lab.startEngine(contestant, { isForLearning: true });
    const { trace } = await measureStart(this.#measuring(engine, workload, contestant));
    const folder = await takeProfiles(engine, { folder: join(lab.folder, "profiles", key), signal });
    if (folder === undefined) {
      const seen = trace === undefined ? "no trace" : `a trace of ${trace.touches.length} reads`;
      notes.push(`${workload.name}, ${contestant.name}: nothing was learnt from ${seen}`);
      await keepLogs(engine, join(this.#options.logFolder, key));
    }
    this.#profiles.set(key, folder);
    return folder;
  }

  #measuring(engine: Engine, workload: Workload, contestant: Contestant): MeasureStartOptions {
    const { lab, images, signal } = this.#options;
    const { repository, sociIndex } = images.get(workload.name)!;
    const tag = contestant.format;
    this.#containers += 1;
    return {
      engine,
      workload,
      image: { reference: `${lab.registryHost}/${repository}:${tag}`, sociIndex },
      isLocal: contestant.isLocal,
      cool: async () => await lab.cool({ repository, tag }),
      link: async () => await lab.figures(),
      id: `start-${this.#containers}`,
      signal,
    };
  }
}

async function keepLogs(engine: Engine, folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  for (const name of engine.logs) {
    await copyFile(join(engine.folder, name), join(folder, name.replaceAll("/", "-"))).catch(() => undefined); // It wrote none.
  }
}
