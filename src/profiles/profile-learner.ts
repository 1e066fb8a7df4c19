import { KeyedQueue } from "../async/index.js";
import type { StartTrace } from "../traces/index.js";
import type { Profile } from "./contract.js";
import { learntChannel } from "./events.js";
import { type FileFinder, readsOf } from "./learn-start.js";
import { coldPart, mergeStart } from "./merge-starts.js";
import type { ProfileStore } from "./profile-store.js";

export interface LearntStart {
  /** `warm`: it read little, since the kernel had the rest; `empty`: nothing of its layers is known here. */
  readonly outcome: "learnt" | "warm" | "empty";
  /** As it is now; undefined: there is none. */
  readonly profile: Profile | undefined;
  /** In the store; undefined: it was not written. */
  readonly id: string | undefined;
}

/** Merges traced starts into the profiles of a node, one at a time. */
export class ProfileLearner {
  readonly #options: { readonly store: ProfileStore; readonly files: FileFinder };
  readonly #queue = new KeyedQueue<string>();

  constructor(options: { readonly store: ProfileStore; readonly files: FileFinder }) {
    this.#options = options;
  }

  /** @throws when the store can't be written, or `signal` is aborted */
  async learn(
    trace: StartTrace,
    { signal }: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<LearntStart> {
    const { store, files } = this.#options;
    const learnt = await this.#queue.run("", async (): Promise<LearntStart> => {
      const start = await readsOf(trace, { files, signal });
      const before = await store.get(start);
      if (start.reads.length === 0) return { outcome: "empty", profile: before, id: undefined };
      const cold = coldPart(before, start);
      if (cold.reads.length === 0) return { outcome: "warm", profile: before, id: undefined };
      const profile = mergeStart(before, cold);
      return { outcome: "learnt", profile, id: await store.save(profile) };
    });
    const { outcome, profile } = learnt;
    learntChannel.publish({ reference: trace.reference, outcome, entries: profile?.entries.length ?? 0 });
    return learnt;
  }
}
