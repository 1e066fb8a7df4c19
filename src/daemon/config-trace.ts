import { countField } from "./config-fields.js";

export const trace = {
  seconds: countField({
    key: "seconds",
    min: 0,
    max: 600,
    initial: 10,
    meaning:
      "How long the start of a container is recorded: which parts of its lazy layers it reads, and what they are waited for. The traces are kept below `root` and shown by `lazuli trace`; profiles are learnt from them. With 0 nothing is recorded.",
  }),
} as const;
