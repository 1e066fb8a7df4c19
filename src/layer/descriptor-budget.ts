import { readdirSync, readFileSync } from "node:fs";
import type { Clock } from "./clock.js";
import { DESCRIPTORS_LOOK_MS, DESCRIPTORS_RESERVED } from "./limits.js";

export interface DescriptorFigures {
  readonly used: number;
  readonly limit: number;
  /** Of the limit, kept for readers, connections and files that are written down. */
  readonly reserved: number;
}

/** Whether the process may take on what holds descriptors for long: layers. Below the reserve it may not. */
export class DescriptorBudget {
  readonly #clock: Clock;
  readonly #look: () => { readonly used: number; readonly limit: number };
  #figures: { readonly used: number; readonly limit: number } | undefined;
  #lookedAt = Number.NEGATIVE_INFINITY;

  constructor(options: { readonly clock: Clock; readonly look?: () => { used: number; limit: number } }) {
    this.#clock = options.clock;
    this.#look = options.look ?? lookAtProcess;
  }

  get figures(): DescriptorFigures {
    const { used, limit } = this.#current();
    return { used, limit, reserved: Math.min(DESCRIPTORS_RESERVED, Math.floor(limit / 4)) };
  }

  get isShort(): boolean {
    const { used, limit, reserved } = this.figures;
    return used + reserved > limit;
  }

  #current(): { readonly used: number; readonly limit: number } {
    const now = this.#clock.now();
    if (this.#figures === undefined || now >= this.#lookedAt + DESCRIPTORS_LOOK_MS) {
      this.#figures = this.#look();
      this.#lookedAt = now;
    }
    return this.#figures;
  }
}

function lookAtProcess(): { used: number; limit: number } {
  const limit = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1];
  const most = Number(limit ?? Number.MAX_SAFE_INTEGER);
  try {
    return { used: readdirSync("/proc/self/fd").length, limit: most };
  } catch {
    // Not even this folder could be opened.
    return { used: most, limit: most };
  }
}
