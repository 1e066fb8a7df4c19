import { channel } from "../observe/index.js";

/** A layer was committed lazily; the client pulls nothing. */
export const preparedChannel = channel<{ key: string; digest: string }>("lazuli:snapshotter.prepared");

/** A layer that could have been lazy was left to the client. */
export const fallbackChannel = channel<{ key: string; reason: string }>("lazuli:snapshotter.fallback");
