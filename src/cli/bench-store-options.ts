import type { CommandOption } from "./command.js";

/** Of `lazuli bench store`, beside those that it shares with the others. */
export const benchStoreOptions: Readonly<Record<string, CommandOption>> = {
  objects: { type: "string", value: "N", meaning: "For store: tiny blobs to list and collect (100,000)." },
  snapshots: { type: "string", value: "N", meaning: "For store: snapshots to list after a restart (1,000)." },
  snapshotter: {
    type: "string",
    value: "NAME",
    multiple: true,
    meaning: "For store: one that both daemons have; may be given several times (overlayfs and native).",
  },
  folder: {
    type: "string",
    value: "FOLDER",
    meaning: "For store: where all of it happens, on the file system to measure (TMPDIR).",
  },
};
