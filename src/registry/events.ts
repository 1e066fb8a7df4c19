import { channel } from "../observe/index.js";

/** What a request was for. */
export type RequestKind = "blob" | "manifest" | "size" | "token" | "push" | "referrers";

/** One HTTP request that ended, well or badly. */
export const requestChannel = channel<{
  kind: RequestKind;
  host: string;
  method: string;
  /** HTTP status; 0 when none came. */
  status: number;
  /** Bytes of the body that came. */
  bytes: number;
  durationMs: number;
  /** 1 for the first try of a read. */
  attempt: number;
  /** Reason word of the failure; undefined when the body ended well or was let go on purpose. */
  reason: string | undefined;
}>("lazuli:registry.request");

/** One try that failed and that is followed by another. */
export const retryChannel = channel<{
  host: string;
  reason: string;
  attempt: number;
  waitMs: number;
}>("lazuli:registry.retry");

/** Bytes of a host that did not verify. */
export const distrustChannel = channel<{
  host: string;
  digest: string;
  offset: number;
  length: number;
}>("lazuli:registry.distrust");
