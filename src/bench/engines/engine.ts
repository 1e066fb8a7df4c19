import type { Client } from "../../client/index.js";

/** What starts containers: a containerd with or without a lazy snapshotter, or lazuli's daemon. Has nothing at first. */
export interface Engine extends AsyncDisposable {
  readonly client: Client;
  readonly folder: string;
  /** Paths of daemons' logs in the folder. */
  readonly logs: readonly string[];
  readonly snapshotter: string;
  /** Of daemons whose processor time and memory count. */
  readonly pids: readonly number[];
  /** Of lazuli; undefined: no part of it runs. */
  readonly lazuli: LazuliParts | undefined;
  /** As its users do; afterwards the image can be started by its name. */
  pull(image: PullRequest): Promise<void>;
}

export interface PullRequest {
  readonly reference: string;
  readonly sociIndex: string | undefined;
  readonly signal: AbortSignal;
}

export interface LazuliParts {
  readonly root: string;
  readonly metricsSocket: string;
  readonly configFile: string;
  /** Runs a command of lazuli that asks this daemon; that there is no such thing is no failure. @returns what it printed */
  run(words: readonly string[]): Promise<string>;
}

export const engineKinds = [
  "containerd",
  "newer containerd",
  "lazuli plugin",
  "lazuli daemon",
  "soci-snapshotter",
  "stargz-snapshotter",
] as const;
export type EngineKind = (typeof engineKinds)[number];

/** Programs of the machine, by absolute path or as the PATH finds them. */
export interface Programs {
  /** lazuli's own, with the words before its command. */
  readonly lazuli: readonly string[];
  /** Folder with a newer `containerd` and `ctr`. */
  readonly newerContainerd: string | undefined;
  /** Folder with `soci` and `soci-snapshotter-grpc`. */
  readonly soci: string | undefined;
  /** `containerd-stargz-grpc`. */
  readonly stargz: string | undefined;
}

export interface StartEngineOptions {
  readonly kind: EngineKind;
  /** Everything that it has lies below. */
  readonly folder: string;
  readonly programs: Programs;
  /** `name:port`, as references have it. */
  readonly registryHost: string;
  /** Of the registry's authority, PEM. */
  readonly authority: string;
  /** Profiles that lazuli has from the start: another node's folder of them. */
  readonly profiles: string | undefined;
  /** lazuli fetches only what is read, so that all reads of a start are seen: complete layers are read without it. */
  readonly isForLearning: boolean;
  readonly signal: AbortSignal;
}
