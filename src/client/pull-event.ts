import type { Digest } from "../bytes/index.js";

/** What happens in a pull or push, blob by blob. */
export type PullEvent =
  /** It will be brought. */
  | { readonly kind: "found"; readonly digest: Digest; readonly bytes: number }
  /** More bytes of it are here. */
  | { readonly kind: "bytes"; readonly digest: Digest; readonly bytes: number }
  | { readonly kind: "done"; readonly digest: Digest }
  /** How a layer came to be a snapshot: there already, left away until it is read, or unpacked. */
  | { readonly kind: "layer"; readonly digest: Digest; readonly state: "present" | "lazy" | "unpacked" };

export type OnPullEvent = (event: PullEvent) => void;
