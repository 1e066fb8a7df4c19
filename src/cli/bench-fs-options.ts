import type { CommandOption } from "./command.js";

/** Of `lazuli bench fs`, beside those that it shares with `lazuli bench start`. */
export const benchFsOptions: Readonly<Record<string, CommandOption>> = {
  tree: {
    type: "string",
    value: "FOLDER",
    meaning: "For fs: measure an image of this folder, in place of the python workload or --image.",
  },
  peer: {
    type: "string",
    value: "NAME=FOLDER",
    multiple: true,
    meaning: "For fs: the same tree as another snapshotter has mounted it; may be given several times.",
  },
  operation: {
    type: "string",
    value: "NAME",
    multiple: true,
    meaning: "For fs: one of walk, readdir, stat, open …; may be given several times (all).",
  },
  jobs: {
    type: "string",
    value: "N",
    multiple: true,
    meaning: "For fs: threads that do it at once; may be given several times (1 and 4).",
  },
};
