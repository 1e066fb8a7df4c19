import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Cleanup } from "../../testing/rig/cleanup.js";
import { startContainerd } from "../../testing/rig/containerd.js";
import { type RunningDaemon, startDaemon } from "../../testing/rig/daemon.js";

/** What one `ctr` said, with times, ids and places masked. */
export interface Said {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A lazuli daemon and a containerd that get the same commands. */
export interface Twins {
  readonly folder: string;
  readonly daemon: RunningDaemon;
  /** What lazuli's answers make of the command, and what containerd's do. */
  both(words: readonly string[], input?: string | Buffer): Promise<{ lazuli: Said; containerd: Said }>;
  /** What `ctr events` prints on each while something runs: topics and events, without their times. */
  heard(run: () => Promise<void>): Promise<{ lazuli: readonly string[]; containerd: readonly string[] }>;
  /** The same on lazuli only, not masked. */
  lazuli(words: readonly string[], input?: string | Buffer): Promise<Said>;
}

/** Every release warns of other things that its next one won't have. */
const environment = { ...process.env, CONTAINERD_SUPPRESS_DEPRECATION_WARNINGS: "1" };

export async function startTwins(
  cleanup: Cleanup,
  /** Folder with `containerd` and `ctr` of another release than the installed one. */
  { binFolder }: { readonly binFolder?: string } = {},
): Promise<Twins> {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-twins-"));
  cleanup.add(() => rm(folder, { recursive: true, force: true }));
  const containerd = await startContainerd({
    folder: join(folder, "containerd"),
    collectsOnRequest: true,
    ...(binFolder === undefined ? {} : { binFolder }),
  });
  cleanup.add(() => containerd.stop());
  const daemon = await startDaemon({
    folder: join(folder, "lazuli"),
    // As its twin: what no lease holds stays for the next command to find.
    config: "[gc]\ndeletion_threshold = 1000000\nmutation_threshold = 1000000\npause_threshold = 0.0001",
  });
  cleanup.add(() => daemon.stop());
  const program = binFolder === undefined ? "ctr" : join(binFolder, "ctr");
  const ctr = async (address: string, words: readonly string[], input?: string | Buffer): Promise<Said> =>
    await run({ program, address, words, input: input ?? "" });
  return {
    folder,
    daemon,
    both: async (words, input) => ({
      lazuli: masked(await ctr(daemon.address, words, input), daemon.address),
      containerd: masked(await ctr(containerd.address, words, input), containerd.address),
    }),
    lazuli: async (words, input) => await ctr(daemon.address, words, input),
    heard: async (work) => {
      const ears = [daemon.address, containerd.address].map((address) => listen(program, address));
      try {
        await Promise.all(ears.map((ear) => ear.waitFor("begin")));
        await work();
        const [lazuli = [], other = []] = await Promise.all(ears.map((ear) => ear.waitFor("end")));
        return { lazuli, containerd: other };
      } finally {
        for (const ear of ears) ear.stop();
      }
    },
  };
}

interface Call {
  readonly program: string;
  readonly address: string;
  readonly words: readonly string[];
  readonly input: string | Buffer;
}

async function run({ program, address, words, input }: Call): Promise<Said> {
  const child = spawn(program, ["--address", address, ...words], {
    env: environment,
    stdio: ["pipe", "pipe", "pipe"],
  });
  const said = { stdout: "", stderr: "" };
  child.stdout.setEncoding("latin1").on("data", (text: string) => {
    said.stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    said.stderr += text;
  });
  // A command that refuses its arguments ends without reading.
  child.stdin.on("error", () => undefined);
  child.stdin.end(input);
  const [code] = await once(child, "close");
  return { code: code as number, ...said };
}

/** A `ctr events` that listens to one of the twins. */
function listen(program: string, address: string) {
  const child = spawn(program, ["--address", address, "events"], {
    env: environment,
    stdio: ["ignore", "pipe", "inherit"],
  });
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (piece: string) => {
    text += piece;
  });
  const make = async (name: string): Promise<void> => {
    for (const verb of ["create", "rm"]) {
      await run({ program, address, words: ["namespaces", verb, name], input: "" });
    }
  };
  return {
    /** Makes a namespace of the name until the listener tells of it. @returns what came before, less marks */
    waitFor: async (mark: string): Promise<string[]> => {
      while (!text.includes(`"name":"mark-${mark}"`)) await make(`mark-${mark}`);
      return text
        .split("\n")
        .filter((line) => line !== "" && !line.includes("mark-"))
        .map((line) => line.replace(/^\S+ \S+ \S+ \S+ /, ""));
    },
    stop: () => void child.kill("SIGKILL"),
  };
}

function masked({ code, stdout, stderr }: Said, address: string): Said {
  const mask = (text: string): string =>
    text
      .replaceAll(address, "<address>")
      .replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)/g, "<time>")
      .replace(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)? \+0000 UTC/g, "<time>")
      // From 2.0 on containerd says how long a label is that is too long.
      .replace(/(label key and value) length \(\d+ bytes\)/g, "$1")
      .replace(/Less than a second|\d+ (milli)?seconds?|About a minute/g, "<age>")
      .replace(/^\d{1,9}-[A-Za-z0-9_-]{4}/gm, "<random id>")
      // Columns are as wide as what was masked.
      .replace(/[ \t]+/g, " ")
      // Each has words of its own for where a filter is wrong.
      .replace(
        /(filters: parse error|Cannot read filter)[^\n]*: invalid argument/g,
        "<bad filter>: invalid argument",
      )
      // The order of a Go map.
      .replace(/\S+=\S+,\S+/g, (labels) => labels.split(",").sort().join(","));
  return { code, stdout: sorted(mask(stdout)), stderr: mask(stderr) };
}

/** Ingests are listed in the order of a Go map, below the line with the columns. */
function sorted(stdout: string): string {
  const [head, ...rows] = stdout.split("\n");
  return head === "REF SIZE AGE " ? [head, ...rows.sort()].join("\n") : stdout;
}
