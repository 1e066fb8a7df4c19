import type { Answer } from "./session-twins.js";

/** A step in which lazuli is not containerd, and what of the answer is the same all the same. */
export interface Difference {
  readonly releases: readonly ("1.6" | "2.1")[];
  readonly matches: RegExp;
  readonly why: string;
  seen(answer: Answer): unknown;
}

const both = ["1.6", "2.1"] as const;

export const explained: readonly Difference[] = [
  {
    releases: both,
    matches: /--runtime (io\.none\.v1|\/none\/shim) /,
    why: "containerd has no code for a shim that is not installed; ours is FAILED_PRECONDITION, which ctr appends",
    seen: ({ code, stderr }) => ({
      code,
      stderr: stderr.replace(/(: failed precondition|: unknown)?\n$/, ""),
    }),
  },
  {
    releases: both,
    matches: /^images mount .*\/none$/,
    why: "the message of ctr's own mount(2) names the folder of the snapshotter",
    seen: ({ code, stderr }) => ({
      code,
      stderr: stderr.replaceAll("/io.containerd.snapshotter.v1.overlayfs", ""),
    }),
  },
  {
    releases: ["1.6"],
    matches: /^plugins ls type==io\.containerd\.service\.v1$/,
    why: "leases-service went with 2.0 and order has no meaning",
    seen: ({ code, stdout }) => ({
      code,
      lines: stdout
        .split("\n")
        .filter((line) => !line.includes("leases-service"))
        .sort(),
    }),
  },
  {
    releases: both,
    matches: /plugins ls \| awk/,
    why: "lazuli serves what came with later releases too, and has no differ of EROFS layers: its engine takes them",
    seen: ({ code, stdout }) => ({
      code,
      lines: stdout
        .split("\n")
        .filter(
          (line) =>
            !/ (cri|erofs|mounts|sandbox-controllers|sandboxes|streaming|transfer|manager|leases-service)$/.test(
              line,
            ),
        ),
    }),
  },
  {
    releases: both,
    matches: /ctr version/,
    why: "a lazuli has versions of its own",
    seen: ({ code, stdout }) => ({ code, stdout }),
  },
  {
    releases: ["2.1"],
    matches: /^deprecations list$/,
    why: "that cgroup v1 is deprecated is told from 2.2 on, and by lazuli",
    seen: ({ code, stdout, stderr }) => ({
      code,
      stderr,
      lines: stdout.split("\n").filter((line) => !/^ID |cgroup-v1/.test(line)),
    }),
  },
  {
    releases: ["2.1"],
    matches: /content ls -q \| wc -l/,
    why: "a pull through the Transfer service leaves lazy layers at the registry",
    seen: ({ code }) => ({ code }),
  },
];

/**
 * Events of which the number says how much was downloaded, or how soon a collection came: only that there are some is
 * compared.
 */
export const countless = /^\/(content|snapshot)\//;
