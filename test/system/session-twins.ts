import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Cleanup } from "../../testing/rig/cleanup.js";
import { startContainerd } from "../../testing/rig/containerd.js";
import { startDaemon } from "../../testing/rig/daemon.js";

/** What one command said, with what differs from run to run masked. */
export interface Answer {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A line of a session. In its words, `{side}` is a name and `{folder}` a folder that each daemon has for itself. */
export interface Step {
  readonly words: readonly string[];
  readonly input?: string;
  /** Runs below `script`, so that ctr has a terminal. */
  readonly hasTerminal?: boolean;
  /** Of stdout nothing is compared: progress, or figures that differ each time. */
  readonly isProgress?: boolean;
  /** A shell line instead of a `ctr` one; `$ctr` calls it. */
  readonly isShell?: boolean;
}

export interface SessionTwins {
  readonly folder: string;
  run(step: Step): Promise<{ readonly lazuli: Answer; readonly containerd: Answer }>;
  /** The topics that each has published, in order. */
  topics(): Promise<{ readonly lazuli: readonly string[]; readonly containerd: readonly string[] }>;
}

interface Side {
  readonly name: string;
  readonly namespace: string;
  readonly folder: string;
  readonly address: string;
  readonly program: string;
}

/**
 * A lazuli daemon and a containerd with a namespace of its own each, since runc keeps its state by namespace and id on the
 * whole machine.
 */
export async function startSessionTwins(
  cleanup: Cleanup,
  /** Folder with `containerd` and `ctr` of another release than the installed one. */
  { binFolder }: { readonly binFolder?: string } = {},
): Promise<SessionTwins> {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-session-"));
  cleanup.add(() => rm(folder, { recursive: true, force: true }));
  const program = binFolder === undefined ? "ctr" : join(binFolder, "ctr");
  const side = async (name: string, start: (folder: string) => Promise<Running>): Promise<Side> => {
    const own = join(folder, name);
    await mkdir(own, { recursive: true });
    const namespace = `${name}-${process.pid}`;
    cleanup.add(() => rm(`/run/containerd/runc/${namespace}`, { recursive: true, force: true }));
    const running = await start(own);
    cleanup.add(() => running.stop());
    const made = { name, namespace, folder: own, address: running.address, program };
    cleanup.add(() => removeTasks(made));
    return made;
  };
  const lazuli = await side("myside", (own) => startDaemon({ folder: own }));
  const containerd = await side("theirs", (own) =>
    startContainerd({ folder: own, ...(binFolder === undefined ? {} : { binFolder }) }),
  );
  const listeners = { lazuli: listen(lazuli), containerd: listen(containerd) };
  for (const { child } of Object.values(listeners)) cleanup.add(() => void child.kill("SIGKILL"));
  return {
    folder,
    run: async (step) => ({
      lazuli: masked(await runStep(lazuli, step), lazuli),
      containerd: masked(await runStep(containerd, step), containerd),
    }),
    topics: async () => ({
      lazuli: await listeners.lazuli.topics(),
      containerd: await listeners.containerd.topics(),
    }),
  };
}

interface Running {
  readonly address: string;
  stop(): Promise<void>;
}

/** Every release warns of other things that its next one won't have. */
const environment = (side: Side): NodeJS.ProcessEnv => ({
  ...process.env,
  CONTAINERD_SUPPRESS_DEPRECATION_WARNINGS: "1",
  CONTAINERD_ADDRESS: side.address,
  CONTAINERD_NAMESPACE: side.namespace,
  ctr: side.program,
});

async function runStep(side: Side, step: Step): Promise<Answer> {
  const words = step.words.map((word) =>
    word.replaceAll("{side}", side.name).replaceAll("{folder}", side.folder),
  );
  if (step.isShell === true) return await run(side, { program: "bash", args: ["-c", words.join(" ")], step });
  if (step.hasTerminal !== true) return await run(side, { program: side.program, args: words, step });
  const line = [side.program, ...words].map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(" ");
  return await run(side, { program: "script", args: ["-qec", line, "/dev/null"], step });
}

interface Run {
  readonly program: string;
  readonly args: readonly string[];
  readonly step: Step;
}

/** A step that hangs ends with a code of its own, and the session goes on. */
const STEP_MS_MAX = 30_000;

async function run(side: Side, { program, args, step }: Run): Promise<Answer> {
  const child = spawn(program, args, {
    env: environment(side),
    stdio: ["pipe", "pipe", "pipe"],
    detached: true,
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
  child.stdin.end(step.input ?? "");
  const timer = setTimeout(() => process.kill(-child.pid!, "SIGKILL"), STEP_MS_MAX);
  const [code] = await once(child, "close");
  clearTimeout(timer);
  return { code: code as number, stderr: said.stderr, stdout: step.isProgress === true ? "" : said.stdout };
}

async function removeTasks(side: Side): Promise<void> {
  const line = `for id in $($ctr tasks ls -q); do $ctr tasks kill -s SIGKILL $id; $ctr tasks rm -f $id; done`;
  await runStep(side, { words: [line], isShell: true });
}

/** A `ctr events` for the whole session. */
function listen(side: Side) {
  const child = spawn(side.program, ["events"], {
    env: environment(side),
    stdio: ["ignore", "pipe", "inherit"],
  });
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (piece: string) => {
    text += piece;
  });
  return {
    child,
    /** Until the listener has heard of a namespace that is made last. */
    topics: async (): Promise<string[]> => {
      while (!text.includes('"name":"mark"}')) {
        const words = ["namespaces create mark && $ctr namespaces rm mark"];
        await runStep(side, { words: ["$ctr", ...words], isShell: true });
      }
      return [...text.matchAll(/^\S+ \S+ \S+ \S+ (\S+) (\/\S+) (.*)$/gm)]
        .filter(([, namespace]) => namespace === side.namespace)
        .filter(([line]) => !line.includes('"name":"mark"'))
        .map(
          ([, , topic, json]) =>
            `${topic} ${Object.keys(JSON.parse(json!) as object)
              .sort()
              .join(",")}`,
        );
    },
  };
}

function masked(answer: Answer, side: Side): Answer {
  const mask = (text: string): string =>
    text
      .replaceAll(side.address, "<address>")
      .replaceAll(side.folder, "<folder>")
      .replaceAll(side.namespace, "<namespace>")
      .replaceAll(side.name, "<side>")
      .replace(/\r|\^@/g, "")
      .replace(/^time=.*\n/gm, "")
      .replace(/\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?( \+0000 UTC|Z|[+-]\d\d:\d\d)/g, "<time>")
      .replace(/Less than a second|\d+ (milli)?seconds?|About a minute/g, "<age>")
      .replace(/\d+(\.\d+)? ?m?s\b/g, "<age>")
      .replace(/^\d{1,9}-[A-Za-z0-9_-]{4}/gm, "<random id>")
      .replace(/^(\S+) +\d+ +(RUNNING|STOPPED|PAUSED|CREATED)/gm, "$1 <pid> $2")
      .replace(/^\d+ +-/gm, "<pid> -")
      .replace(/PID \d+|pid \d+|"pid": \d+/g, "<pid>")
      // Columns are as wide as what was masked.
      .replace(/[ \t]+/g, " ")
      // The order of a Go map.
      .replace(/\S+=\S+,\S+/g, (labels) => labels.split(",").sort().join(","));
  return { code: answer.code, stdout: mask(answer.stdout), stderr: mask(answer.stderr) };
}
