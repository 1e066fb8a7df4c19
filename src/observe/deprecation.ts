import { channel } from "./channel.js";

/** What containerd calls a deprecated thing, without its prefix. */
export type DeprecationName =
  | "cgroup-v1"
  | "nri-v010-plugin"
  | "nri-plugin-interface"
  | "runc-options-task-api-address"
  | "runc-options-task-api-version";

/** Something was used that will go. */
export const deprecatedChannel = channel<{ readonly name: DeprecationName }>("lazuli:deprecated");
