import { access, copyFile, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Writable } from "node:stream";
import { delay } from "../../src/async/index.js";
import type { Cleanup } from "../../testing/rig/cleanup.js";
import { command } from "../../testing/rig/command.js";
import { startContainerd } from "../../testing/rig/containerd.js";
import { startDaemon } from "../../testing/rig/daemon.js";
import { projectRoot } from "../../testing/rig/lab.js";
import { writeOciArchive } from "../../testing/rig/oci-archive.js";

export const boxImage = "client.test/box:1";

export interface Server {
  readonly address: string;
  stop(): Promise<void>;
  /** Stops it and starts it again on the same folders. */
  restart(): Promise<void>;
}

export interface ServerKind {
  readonly name: string;
  start(folder: string): Promise<Server>;
}

/** Servers that this machine has: Debian's containerd, a newer one where it was fetched, and ours. */
export async function serverKinds(): Promise<readonly ServerKind[]> {
  const newer = join(projectRoot, "build", "newer", "bin");
  const hasNewer = await access(join(newer, "containerd")).then(
    () => true,
    () => false,
  );
  const containerd = (binFolder?: string) => async (folder: string) =>
    await restartable(
      async () => await startContainerd({ folder, ...(binFolder === undefined ? {} : { binFolder }) }),
    );
  return [
    { name: "Debian's containerd", start: containerd() },
    ...(hasNewer ? [{ name: "a newer containerd", start: containerd(newer) }] : []),
    {
      name: "lazuli daemon",
      start: async (folder) => await restartable(async () => await startDaemon({ folder })),
    },
  ];
}

async function restartable(
  start: () => Promise<{ readonly address: string; readonly pid?: number; stop(): Promise<void> }>,
): Promise<Server> {
  let running = await start();
  return {
    address: running.address,
    stop: async () => await running.stop(),
    restart: async () => {
      // Shims and what they have mounted stay, as after a crash.
      const pid = running.pid ?? (await listenerOf(running.address));
      process.kill(pid, "SIGKILL");
      // Its socket takes connections until it is gone.
      while (isAlive(pid)) await delay(10);
      running = await start();
    },
  };
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    // ESRCH: there is none of this number.
    return false;
  }
}

async function listenerOf(address: string): Promise<number> {
  const { stdout } = await command("fuser", [address]);
  const pid = Number(stdout.trim().split(/\s+/)[0]);
  // 0 would be our own process group.
  if (!(pid > 1)) throw new Error(`nobody listens on ${address}`);
  return pid;
}

/** An image of busybox with a few accounts, 1 MiB in one layer. */
export async function boxArchive(folder: string): Promise<string> {
  const root = join(folder, "box");
  for (const name of ["bin", "etc", "tmp", "srv"]) await mkdir(join(root, name), { recursive: true });
  await copyFile("/usr/bin/busybox", join(root, "bin", "busybox"));
  for (const name of ["sh", "cat", "echo", "sleep", "id", "env", "pwd", "touch", "hostname", "tty"])
    await symlink("busybox", join(root, "bin", name));
  await writeFile(join(root, "etc", "passwd"), "root:x:0:0::/root:/bin/sh\napp:x:1000:1000::/srv:/bin/sh\n");
  await writeFile(join(root, "etc", "group"), "root:x:0:\nadm:x:4:app\napp:x:1000:\n");
  const tar = join(folder, "box.tar");
  await command("tar", ["--numeric-owner", "--owner=0", "--group=0", "-C", root, "-cf", tar, "."]);
  const archive = join(folder, "box.oci.tar");
  const config = { Cmd: ["sh"], Env: ["PATH=/bin", "FROM_IMAGE=1"], WorkingDir: "/srv" };
  await writeOciArchive({ layers: [tar], config, name: boxImage, archive });
  return archive;
}

export async function temporaryFolder(cleanup: Cleanup): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-client-"));
  cleanup.add(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** Keeps what is written to it. */
export class TextSink extends Writable {
  text = "";

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.text += chunk.toString("utf8");
    done();
  }
}
