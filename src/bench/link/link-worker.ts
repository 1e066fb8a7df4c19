import { parentPort } from "node:worker_threads";
import { type Link, type LinkOptions, startLink } from "./link.js";
import { seededRandom } from "./random.js";

/** A link's options as they pass between threads. */
export interface LinkRequest {
  readonly id: number;
  /** `end`: there is no link any more, and the thread ends; undefined: the link stays as it is. */
  readonly options: (Omit<LinkOptions, "random"> & { readonly seed: number }) | "end" | undefined;
}

/** Of the link that is now, or why there is none. */
export type LinkReply =
  | { readonly id: number; readonly isUp: true; readonly port: number; readonly bytesDown: number }
  | { readonly id: number; readonly isUp: false; readonly message: string };

let link: Link | undefined;

async function answer({ id, options }: LinkRequest): Promise<LinkReply> {
  if (options !== undefined) {
    await link?.stop();
    link = undefined;
    if (options !== "end") {
      const { seed, ...shape } = options;
      link = await startLink({ ...shape, random: seededRandom(seed) });
    }
  }
  return { id, isUp: true, port: link?.port ?? 0, bytesDown: link?.bytesDown ?? 0 };
}

const port = parentPort!;
port.on("message", (request: LinkRequest) => {
  void answer(request)
    .catch((thrown: unknown): LinkReply => ({ id: request.id, isUp: false, message: String(thrown) }))
    .then((reply) => {
      port.postMessage(reply);
      if (request.options === "end") port.close();
    });
});
