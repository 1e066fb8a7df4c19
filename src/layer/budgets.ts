import { failedPrecondition, LazuliError, resourceExhausted } from "../errors/index.js";
import { isDiskFull } from "./bitmap-writer.js";
import type { Clock } from "./clock.js";
import type { LayerRequest } from "./contract.js";
import { DescriptorBudget, type DescriptorFigures } from "./descriptor-budget.js";
import { layersInUse } from "./layers-in-use.js";
import { MemoryBudget, type MemoryFigures } from "./memory-budget.js";
import { limitBytesOf, SpaceBudget } from "./space-budget.js";
import type { SpaceBudgetFacts, SpaceFigures } from "./space-contract.js";

export interface BudgetsOptions {
  readonly budget?: SpaceBudgetFacts | undefined;
  readonly root: string;
  readonly state: string;
  readonly workerThreads: number;
  readonly clock: Clock;
  /** Something may start that could not. */
  readonly wake: () => void;
  readonly limitWorkers: (workers: number) => void;
}

/** Budgets of the engine, and their use. */
export interface BudgetFigures {
  readonly space: SpaceFigures;
  readonly memory: MemoryFigures;
  readonly descriptors: DescriptorFigures;
}

const unlimited: SpaceBudgetFacts = { limit: undefined, highWater: 1, lowWater: 1, pinned: [] };

/** @throws as statfs(2) */
export async function openBudgets(options: BudgetsOptions): Promise<Budgets> {
  const { budget = unlimited, root } = options;
  return new Budgets(options, budget, await limitBytesOf(budget.limit, root));
}

/** What the engine may use of the disk, the memory and the table of open files. */
export class Budgets {
  readonly space: SpaceBudget;
  readonly #memory: MemoryBudget;
  readonly #descriptors: DescriptorBudget;

  constructor(options: BudgetsOptions, budget: SpaceBudgetFacts, limitBytes: number) {
    const { clock, state, wake, workerThreads, limitWorkers } = options;
    this.space = new SpaceBudget({ ...budget, limitBytes, clock, wake, inUse: () => layersInUse(state) });
    this.#descriptors = new DescriptorBudget({ clock });
    this.#memory = new MemoryBudget({
      clock,
      onChange: (share) => {
        limitWorkers(Math.max(1, Math.floor(workerThreads * share)));
        wake();
      },
    });
  }

  get bytesInFlightMax(): number {
    return this.#memory.bytesInFlightMax;
  }

  get figures(): BudgetFigures {
    return {
      space: this.space.figures,
      memory: this.#memory.figures,
      descriptors: this.#descriptors.figures,
    };
  }

  /**
   * Makes a layer where there is room for it, and once more where the disk turned out to be full and something could be
   * given up. @throws RESOURCE_EXHAUSTED, FAILED_PRECONDITION, as `make`
   */
  async admit<Made>(request: LayerRequest, sizeBytes: number, make: () => Promise<Made>): Promise<Made> {
    if (this.#descriptors.isShort) throw descriptorsShort(request, this.#descriptors.figures);
    // What comes whole is at least as long when decoded.
    const isWhole = request.index?.kind === "whole";
    if (isWhole && !(await this.space.makeRoomForWhole(sizeBytes))) throw beyondBudget(request);
    try {
      return await make();
    } catch (thrown) {
      const error = LazuliError.from(thrown);
      if (!isDiskFull(thrown) && !isDiskFull(error.cause ?? {})) throw thrown;
      if (!(await this.space.makeRoom(sizeBytes))) throw thrown;
      return await make();
    }
  }

  close(): void {
    this.space.close();
    this.#memory.close();
  }
}

function descriptorsShort({ digest }: LayerRequest, { used, limit }: DescriptorFigures): LazuliError {
  return resourceExhausted(`Cannot take on layer ${digest}: ${used} of ${limit} descriptors are open`, {
    subject: digest,
    reason: "descriptors-short",
    hint: "Raise LimitNOFILE= of the unit, or remove images",
  });
}

function beyondBudget({ digest }: LayerRequest): LazuliError {
  return failedPrecondition(`Cannot fetch layer ${digest} whole: it is larger than the budget of the disk`, {
    subject: digest,
    reason: "layer-beyond-budget",
    hint: "Raise [layer] budget, or give the image an index",
  });
}
