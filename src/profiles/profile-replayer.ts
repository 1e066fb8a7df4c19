import { deferred, delay, linkSignals } from "../async/index.js";
import type { Digest } from "../bytes/index.js";
import { LazuliError } from "../errors/index.js";
import { ensuredChannel, type ReplayHandle, type ReplayPlan } from "../layer/index.js";
import { log } from "../observe/index.js";
import type { Profile } from "./contract.js";
import { foundChannel } from "./events.js";
import { repositoryOf } from "./learn-start.js";
import { GATHER_MS, LAYERS_MAX, NONE_REMEMBERED_MS, SESSIONS_MAX } from "./limits.js";
import { type PlacedRange, partsOf, type RangeFinder, ReplayPlanner } from "./plan-replay.js";
import type { ProfileStore } from "./profile-store.js";

export interface ReplayedImage {
  readonly reference: string;
  readonly manifest: Digest | undefined;
  /** That are known of it by now. */
  readonly layers: readonly Digest[];
  /** A container of it starts, of which layers may have lost units since the pull: no registry is asked. Absent: it is pulled. */
  readonly isHere?: boolean;
}

export interface ProfileReplayerOptions {
  readonly engine: {
    has(digest: Digest): boolean;
    replay(plan: ReplayPlan): ReplayHandle;
  };
  readonly files: RangeFinder;
  readonly store: ProfileStore;
  /** Asks the registry, for an image without a profile here; undefined: nobody is asked. */
  readonly findPublished:
    | ((
        image: { readonly reference: string; readonly manifest: Digest },
        options: { readonly signal: AbortSignal },
      ) => Promise<Profile | undefined>)
    | undefined;
  /** Most compressed bytes that are asked for one image's profile. */
  readonly bytesMax: number;
  /** After it nothing more is asked for. */
  readonly timeMaxMs: number;
}

/**
 * Replays the profile of an image while its layers get ready, one by one. Nobody waits for it, and nothing fails by it:
 * what goes wrong is told in the log.
 */
export class ProfileReplayer implements AsyncDisposable {
  readonly #options: ProfileReplayerOptions;
  readonly #sessions = new Map<string, Session>();
  readonly #subscription: Disposable;
  readonly #ended = new AbortController();

  constructor(options: ProfileReplayerOptions) {
    this.#options = options;
    this.#subscription = ensuredChannel.subscribe(({ digest }) => {
      for (const session of this.#sessions.values()) session.ensured(digest as Digest);
    });
  }

  /** Says that an image is about to be started. Called for each of its layers, perhaps. */
  image(image: ReplayedImage): void {
    if (this.#ended.signal.aborted) return;
    const key = image.manifest ?? image.reference;
    const known = this.#sessions.get(key);
    if (known !== undefined) {
      known.add(image.layers);
      return;
    }
    for (const [oldest, session] of this.#sessions) {
      if (this.#sessions.size < SESSIONS_MAX) break;
      session.end();
      this.#sessions.delete(oldest);
    }
    const session = new Session(image, this.#options);
    this.#sessions.set(key, session);
    void session.run(this.#ended.signal).finally(() => {
      if (this.#sessions.get(key) === session) this.#sessions.delete(key);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#subscription[Symbol.dispose]();
    this.#ended.abort(new DOMException("Profiles are not replayed any more", "AbortError"));
    await Promise.all([...this.#sessions.values()].map(({ done }) => done));
  }
}

/** The replay of one image, from its first layer's Prepare until its time is over. */
class Session {
  readonly #image: ReplayedImage;
  readonly #options: ProfileReplayerOptions;
  readonly #layers = new Set<Digest>();
  /** Layers that got ready and are not planned yet; one that was removed and made anew is planned again. */
  readonly #fresh = new Set<Digest>();
  readonly #ending = new AbortController();
  readonly #done = deferred<void>();
  #news = deferred<void>();
  /** Replays that run: a layer that is made anew many times has one each time. */
  #running: ReplayHandle[] = [];
  /** What those that have ended asked for. */
  #spentBytes = 0;

  constructor(image: ReplayedImage, options: ProfileReplayerOptions) {
    this.#image = image;
    this.#options = options;
    this.add(image.layers);
  }

  get done(): Promise<void> {
    return this.#done.promise;
  }

  add(layers: readonly Digest[]): void {
    for (const layer of layers) {
      if (this.#layers.size >= LAYERS_MAX || this.#layers.has(layer)) continue;
      this.#layers.add(layer);
      if (this.#options.engine.has(layer)) this.ensured(layer);
    }
  }

  ensured(digest: Digest): void {
    if (!this.#layers.has(digest)) return;
    this.#fresh.add(digest);
    this.#news.resolve();
  }

  end(): void {
    this.#ending.abort(new DOMException("Too many images are started at once", "AbortError"));
  }

  async run(ended: AbortSignal): Promise<void> {
    const { reference } = this.#image;
    using all = linkSignals([ended, this.#ending.signal], this.#options.timeMaxMs);
    try {
      const profile = await this.#find(all.signal);
      if (profile === undefined) {
        foundChannel.publish({ reference, by: "none" });
        // The Prepares of the other layers need not ask again.
        await delay(NONE_REMEMBERED_MS, { signal: all.signal });
      } else await this.#replay(profile, all.signal);
    } catch (thrown) {
      if (!all.signal.aborted) {
        const { message, reason } = LazuliError.from(thrown);
        log.warn("Cannot replay the profile of an image; it starts without", {
          reference,
          reason,
          error: message,
        });
        foundChannel.publish({ reference, by: "failed" });
      }
    } finally {
      this.#done.resolve();
    }
  }

  async #find(signal: AbortSignal): Promise<Profile | undefined> {
    const { store, findPublished } = this.#options;
    const { reference, manifest } = this.#image;
    const repository = repositoryOf(reference);
    const kept = await store.find({ repository, manifest, layers: [...this.#layers] });
    if (kept !== undefined) {
      this.#found(kept.by, kept.profile);
      return kept.profile;
    }
    if (this.#image.isHere === true || manifest === undefined || repository === "") return undefined;
    const published = await findPublished?.({ reference, manifest }, { signal });
    if (published !== undefined) this.#found("registry", published);
    return published;
  }

  #found(by: "manifest" | "layers" | "repository" | "registry", profile: Profile): void {
    const { reference } = this.#image;
    foundChannel.publish({ reference, by });
    log.info("Replays a profile", { reference, by, starts: profile.starts, entries: profile.entries.length });
  }

  /** Plans what is ready, then what gets ready, until the time is over. */
  async #replay(profile: Profile, signal: AbortSignal): Promise<void> {
    this.#options.files.ready?.();
    const planner = new ReplayPlanner({ profile, files: this.#options.files });
    const startedAt = performance.now();
    const onAbort = (): void => this.#news.resolve();
    signal.addEventListener("abort", onAbort);
    try {
      while (!signal.aborted) {
        await delay(GATHER_MS, { signal });
        const fresh = [...this.#fresh];
        this.#fresh.clear();
        const ranges: PlacedRange[] = [];
        for (const digest of fresh)
          ranges.push(...(await planner.rangesIn(digest, { image: this.#layers, signal })));
        this.#start(ranges, performance.now() - startedAt);
        if (this.#fresh.size > 0) continue;
        this.#news = deferred();
        await this.#news.promise;
      }
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  #start(ranges: readonly PlacedRange[], passedMs: number): void {
    const { engine, bytesMax, timeMaxMs } = this.#options;
    const used = this.#usedBytes();
    if (ranges.length === 0 || used >= bytesMax) return;
    this.#running.push(
      engine.replay({
        parts: partsOf(ranges),
        bytesMax: bytesMax - used,
        timeMaxMs: Math.max(1, Math.round(timeMaxMs - passedMs)),
        label: `profile ${this.#image.reference}`,
      }),
    );
  }

  /** Keeps none that has ended. */
  #usedBytes(): number {
    let used = this.#spentBytes;
    const before = this.#running;
    this.#running = [];
    for (const handle of before) {
      const { state, requestedBytes } = handle.figures();
      used += requestedBytes;
      if (state === "running") this.#running.push(handle);
      else this.#spentBytes += requestedBytes;
    }
    return used;
  }
}
