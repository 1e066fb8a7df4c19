import type { CommandOption } from "./command.js";

/** Of `lazuli bench start`. */
export const benchStartOptions: Readonly<Record<string, CommandOption>> = {
  workload: {
    type: "string",
    value: "NAME",
    multiple: true,
    meaning:
      "One of python, node, perl, gcc, openjdk, postgres, redis, nginx; may be given several times (all).",
  },
  image: {
    type: "string",
    value: "REF",
    meaning: "An image of a registry in place of the workloads; its layers are converted and kept.",
  },
  command: {
    type: "string",
    value: "WORDS",
    meaning: "For --image: its command, words with spaces between them or a JSON list (as the image says).",
  },
  ready: {
    type: "string",
    value: "RULE",
    meaning: "For --image: when it is ready: `exit`, `line:TEXT` of its output, or `port:N` (exit).",
  },
  contestant: {
    type: "string",
    value: "NAME",
    multiple: true,
    meaning:
      "Who is measured; may be given several times, the first is what others are compared with (all that are found). An unknown name lists the names.",
  },
  rounds: { type: "string", value: "N", meaning: "Starts of each workload by each contestant (5)." },
  rtt: { type: "string", value: "MS", meaning: "Round trip time of the link (20)." },
  bandwidth: { type: "string", value: "MBIT", meaning: "Of the link, each way, in Mbit/s (400)." },
  jitter: { type: "string", value: "MS", meaning: "Most that a piece is late on the link (0)." },
  "break-every": {
    type: "string",
    value: "BYTES",
    meaning: "Reset a connection whenever this many bytes have come (never).",
  },
  "sweep-rtt": { type: "boolean", meaning: "Measure with round trip times of 1, 20 and 80 ms." },
  concurrent: {
    type: "string",
    value: "N",
    meaning: "Also start this many containers of the first workload at once.",
  },
  mounted: {
    type: "string",
    value: "N",
    meaning: "Also start the first workload beside this many mounted layers of others.",
  },
  seed: { type: "string", value: "N", meaning: "Of the order of starts; printed, to repeat it (by chance)." },
  quick: { type: "boolean", meaning: "Two small workloads, four contestants, one round." },
  containerd: {
    type: "string",
    value: "FOLDER",
    meaning: "With another release of containerd and ctr, which is measured beside the installed one.",
  },
  soci: {
    type: "string",
    value: "FOLDER",
    meaning: "With soci-snapshotter-grpc and soci (where PATH has them).",
  },
  stargz: { type: "string", value: "PATH", meaning: "Of containerd-stargz-grpc (where PATH has it)." },
  cache: {
    type: "string",
    value: "FOLDER",
    meaning: "Images are kept here; lazuli/bench below XDG_CACHE_HOME or ~/.cache by default.",
  },
  json: { type: "string", value: "FILE", meaning: "Write the report as JSON." },
  html: { type: "string", value: "FILE", meaning: "Write the report as one page." },
};
