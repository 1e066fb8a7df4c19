import { fetchedChannel, requestStepChannel, type TransferPriority } from "./events.js";
import type { RequestPlan } from "./plan-request.js";

export interface RequestStepsOptions {
  readonly digest: string;
  readonly priority: TransferPriority;
  readonly plan: Pick<RequestPlan, "offset" | "length" | "firstUnit" | "lastUnit">;
}

let lastRequest = 0;

/** Tells what becomes of one request, for traces and metrics. */
export class RequestSteps {
  readonly #facts: Parameters<typeof requestStepChannel.publish>[0];
  #bytes = 0;

  constructor({ digest, priority, plan }: RequestStepsOptions) {
    lastRequest += 1;
    const { offset, length, firstUnit, lastUnit } = plan;
    const began = process.hrtime.bigint();
    const place = { offset, length, firstUnit, lastUnit };
    this.#facts = {
      request: lastRequest,
      step: "began",
      digest,
      priority,
      ...place,
      began,
      hasFailed: false,
    };
    requestStepChannel.publish(this.#facts);
  }

  /** More bytes came. */
  came(bytes: number): void {
    const { digest, priority } = this.#facts;
    if (this.#bytes === 0) requestStepChannel.publish({ ...this.#facts, step: "answered" });
    this.#bytes += bytes;
    fetchedChannel.publish({ digest, priority, bytes });
  }

  /** Its last byte came, or it was given up. */
  received(): void {
    requestStepChannel.publish({ ...this.#facts, step: "received" });
  }

  /** What came is decoded and written. */
  ended(hasFailed: boolean): void {
    const step = hasFailed || this.#bytes === 0 ? "dropped" : "stored";
    requestStepChannel.publish({ ...this.#facts, step, hasFailed });
  }
}
