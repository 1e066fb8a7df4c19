import { channel } from "../observe/index.js";

/** A start was learnt from, or why not. */
export const learntChannel = channel<{
  reference: string;
  outcome: "learnt" | "warm" | "empty" | "failed" | "busy";
  /** Entries that the profile has now. */
  entries: number;
}>("lazuli:profiles.learnt");

/** An image was asked for: by what its profile was found, or that there is none. */
export const foundChannel = channel<{
  reference: string;
  by: "manifest" | "layers" | "repository" | "registry" | "none" | "failed";
}>("lazuli:profiles.found");
