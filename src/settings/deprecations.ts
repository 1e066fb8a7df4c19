import { type DeprecationName, deprecatedChannel } from "../observe/index.js";
import type { DeprecationWarning } from "../services/index.js";

const PREFIX = "io.containerd.deprecation/";

const messages: Readonly<Record<DeprecationName, string>> = {
  "cgroup-v1": "This node has cgroup v1, which runc and Kubernetes are giving up: boot it with cgroup v2.",
  "nri-v010-plugin": "A plugin speaks NRI 0.1, which has been replaced: build it with NRI 0.6 or later.",
  "nri-plugin-interface": "A plugin uses a part of NRI that will go: build it with a newer NRI.",
  "runc-options-task-api-address":
    "A container sets task_api_address in the options of runc, which will go: leave it out.",
  "runc-options-task-api-version":
    "A container sets task_api_version in the options of runc, which will go: leave it out.",
};

/** Collects what is in use that will go, with the time of its last use, until it is disposed of. */
export class Deprecations implements Disposable {
  readonly #uses = new Map<DeprecationName, bigint>();
  readonly #subscription: Disposable;

  constructor({ now }: { readonly now: () => bigint }) {
    this.#subscription = deprecatedChannel.subscribe(({ name }) => this.#uses.set(name, now()));
  }

  /** By their ids, sorted. */
  list(): readonly DeprecationWarning[] {
    return [...this.#uses]
      .map(([name, lastOccurrence]) => ({ id: `${PREFIX}${name}`, message: messages[name], lastOccurrence }))
      .sort((left, right) => (left.id < right.id ? -1 : 1));
  }

  [Symbol.dispose](): void {
    this.#subscription[Symbol.dispose]();
  }
}
