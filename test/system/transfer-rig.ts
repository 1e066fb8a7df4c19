import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Cleanup } from "../../testing/rig/cleanup.js";
import { command } from "../../testing/rig/command.js";
import { startContainerd } from "../../testing/rig/containerd.js";
import { type RunningDaemon, startDaemon } from "../../testing/rig/daemon.js";
import { projectRoot } from "../../testing/rig/lab.js";

/** What one `ctr` said. */
export interface Said {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface TransferPair {
  readonly folder: string;
  readonly daemon: RunningDaemon;
  readonly lazuli: (...words: readonly string[]) => Promise<Said>;
  readonly containerd: (...words: readonly string[]) => Promise<Said>;
  /** Starts a pull by the daemon and interrupts it when the condition holds. */
  interrupted(words: readonly string[], until: () => boolean): Promise<Said>;
}

/** A daemon and a newer containerd with its ctr, which pulls through the Transfer service. */
export async function startPair(cleanup: Cleanup, config = ""): Promise<TransferPair> {
  const newer = join(projectRoot, "build", "newer");
  await command("bash", [join(projectRoot, "scripts", "fetch-newer-containerd.sh"), newer]);
  const binFolder = join(newer, "bin");
  const folder = await mkdtemp(join(tmpdir(), "lazuli-pair-"));
  cleanup.add(() => rm(folder, { recursive: true, force: true }));
  const containerd = await startContainerd({ folder: join(folder, "containerd"), binFolder });
  cleanup.add(() => containerd.stop());
  const daemon = await startDaemon({ folder: join(folder, "lazuli"), config });
  cleanup.add(() => daemon.stop());
  const ctr =
    (address: string) =>
    async (...words: readonly string[]): Promise<Said> =>
      await said(start(binFolder, address, words));
  return {
    folder,
    daemon,
    lazuli: ctr(daemon.address),
    containerd: ctr(containerd.address),
    interrupted: async (words, until) => {
      const child = start(binFolder, daemon.address, words);
      const timer = setInterval(() => {
        if (until()) child.kill("SIGINT");
      }, 20);
      try {
        return await said(child);
      } finally {
        clearInterval(timer);
      }
    },
  };
}

type Child = ReturnType<typeof start>;

function start(binFolder: string, address: string, words: readonly string[]) {
  return spawn(join(binFolder, "ctr"), ["--address", address, ...words], {
    stdio: ["ignore", "pipe", "pipe"],
  });
}

async function said(child: Child): Promise<Said> {
  const texts = { stdout: "", stderr: "" };
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    texts.stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    texts.stderr += text;
  });
  const [code, signal] = await once(child, "close");
  // Warnings about the machine are not about the command.
  const stderr = texts.stderr.replace(/^time=.*\n/gm, "");
  return { code: signal === null ? (code as number) : 130, stdout: texts.stdout, stderr };
}
