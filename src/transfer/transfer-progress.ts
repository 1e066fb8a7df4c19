import type { Digest } from "../bytes/index.js";
import type { Descriptor } from "../oci/index.js";
import { refKey } from "./stored-image.js";
import type { TransferEvent } from "./transfer-contract.js";

/** Between two looks at what moves, as containerd has it. */
const INTERVAL_MS = 300;

interface Job {
  readonly descriptor: Descriptor;
  readonly name: string;
  readonly parents: readonly string[];
  state: "moving" | "extracting" | "ended";
  /** What happened last, which is told at the next look. */
  news: "offset" | "complete" | "extracting" | "extracted" | undefined;
  offset: number;
}

/** Tells a client what happens to each blob of an image: at once that it waits, and its progress a few times a second. */
export class TransferProgress implements Disposable {
  readonly #root: string;
  readonly #moving: "downloading" | "uploading";
  readonly #report: ((event: TransferEvent) => void) | undefined;
  readonly #timer: NodeJS.Timeout | undefined;
  readonly #jobs = new Map<Digest, Job>();
  readonly #parents = new Map<Digest, string[]>();

  constructor(options: {
    /** Stands above what has no parent. */
    readonly root: string;
    readonly moving: "downloading" | "uploading";
    readonly report: ((event: TransferEvent) => void) | undefined;
  }) {
    this.#root = options.root;
    this.#moving = options.moving;
    this.#report = options.report;
    if (this.#report === undefined) return;
    this.#timer = setInterval(() => this.#look(), INTERVAL_MS);
    this.#timer.unref();
  }

  add(descriptor: Descriptor): void {
    this.#job(descriptor);
  }

  addChildren(parent: Descriptor, children: readonly Descriptor[]): void {
    if (this.#report === undefined) return;
    const name = refKey(parent);
    for (const { digest } of children) {
      const parents = this.#parents.get(digest);
      if (parents === undefined) this.#parents.set(digest, [name]);
      else parents.push(name);
    }
  }

  exists(descriptor: Descriptor): void {
    const job = this.#job(descriptor);
    const { size } = descriptor;
    this.#report?.({ event: "already exists", name: job.name, progress: size, total: size, descriptor });
    job.state = "ended";
    job.news = undefined;
  }

  moved(descriptor: Descriptor, offset: number): void {
    const job = this.#job(descriptor);
    if (job.state !== "moving" || offset <= job.offset) return;
    job.offset = offset;
    job.news = "offset";
  }

  complete(descriptor: Descriptor): void {
    const job = this.#job(descriptor);
    if (job.state !== "moving") return;
    job.state = "ended";
    job.news = "complete";
  }

  extracting(descriptor: Descriptor): void {
    const job = this.#job(descriptor);
    if (job.news === "complete") this.#tell(job, "complete", descriptor.size);
    job.state = "extracting";
    job.offset = 0;
    job.news = "extracting";
  }

  extracted(descriptor: Descriptor): void {
    const job = this.#job(descriptor);
    job.state = "ended";
    job.news = "extracted";
  }

  /** Tells the last news. */
  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#look();
  }

  #job(descriptor: Descriptor): Job {
    const known = this.#jobs.get(descriptor.digest);
    if (known !== undefined) return known;
    const parents = this.#parents.get(descriptor.digest) ?? [this.#root];
    const name = refKey(descriptor);
    const job: Job = { descriptor, name, parents, state: "moving", news: undefined, offset: 0 };
    this.#jobs.set(descriptor.digest, job);
    this.#tell(job, "waiting", 0);
    return job;
  }

  #look(): void {
    if (this.#report === undefined) return;
    for (const job of this.#jobs.values()) {
      const { size } = job.descriptor;
      switch (job.news) {
        case "offset":
          this.#tell(job, this.#moving, job.offset);
          break;
        case "extracting":
          this.#tell(job, "extracting", job.offset);
          // Goes on being told until it ends.
          continue;
        case "complete":
        case "extracted":
          this.#tell(job, job.news, size);
          break;
      }
      job.news = undefined;
    }
  }

  #tell({ name, parents, descriptor }: Job, event: string, progress: number): void {
    this.#report?.({ event, name, parents, progress, total: descriptor.size, descriptor });
  }
}
