import { LazuliError, unimplemented } from "../errors/index.js";
import type { LayerDiffer } from "./contract.js";

/** Asks one after the other until one does not say that it can't do this kind of layer. @throws as the last one */
export function differsInOrder(differs: readonly LayerDiffer[]): LayerDiffer {
  const first = async <Result>(ask: (differ: LayerDiffer) => Promise<Result>): Promise<Result> => {
    let refusal: unknown = unimplemented("no differ is configured", { reason: "differ-missing" });
    for (const differ of differs) {
      try {
        return await ask(differ);
      } catch (thrown) {
        if (LazuliError.from(thrown).code !== "UNIMPLEMENTED") throw thrown;
        refusal = thrown;
      }
    }
    throw refusal;
  };
  return {
    apply: (request) => first((differ) => differ.apply(request)),
    compare: (request) => first((differ) => differ.compare(request)),
  };
}
