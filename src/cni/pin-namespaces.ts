import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, open, rm, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { createInterface } from "node:readline";
import { failedPrecondition, LazuliError } from "../errors/index.js";
import type { NativeBinding } from "../fuse/index.js";

export interface UserRange {
  readonly containerId: number;
  readonly hostId: number;
  readonly size: number;
}

export interface PinNamespacesOptions {
  readonly binding: Pick<NativeBinding, "mount" | "umount">;
  /** Path at which the new network namespace is bound. */
  readonly network: string;
  /** Makes a user namespace with these ids that owns the network namespace, and binds it too. */
  readonly user?: {
    readonly path: string;
    readonly uids: readonly UserRange[];
    readonly gids: readonly UserRange[];
  };
}

const MS_BIND = 4096;
const MNT_DETACH = 2;

/**
 * Makes a network namespace, in a user namespace of its own where asked, that stays until unpinNamespace().
 *
 * @throws FAILED_PRECONDITION `namespace-refused`, with nothing left behind
 */
export async function pinNamespaces(options: PinNamespacesOptions): Promise<void> {
  const { binding, network, user } = options;
  const pinned: string[] = [];
  // A thread of Node can't enter a user namespace; a process that waits in the new ones until they are bound can.
  const child = spawn(
    "unshare",
    ["--net", ...(user === undefined ? [] : ["--user"]), "sh", "-c", "echo here; read end"],
    {
      stdio: ["pipe", "pipe", "pipe"],
    },
  );
  const ended = once(child, "close").catch(() => undefined); // A program that does not start is told below.
  try {
    await isThere(child);
    if (user !== undefined) {
      await writeFile(`/proc/${child.pid}/uid_map`, mapText(user.uids));
      await writeFile(`/proc/${child.pid}/gid_map`, mapText(user.gids));
    }
    const wanted = [
      { kind: "net", path: network },
      ...(user === undefined ? [] : [{ kind: "user", path: user.path }]),
    ];
    for (const { kind, path } of wanted) {
      await mkdir(dirname(path), { recursive: true });
      await (await open(path, "wx", 0o444)).close();
      pinned.push(path);
      await binding.mount(`/proc/${child.pid}/ns/${kind}`, path, "", MS_BIND, "");
    }
  } catch (thrown) {
    for (const path of pinned) await unpinNamespace({ binding, path });
    throw failedPrecondition(
      `Cannot make a network namespace at ${network}: ${LazuliError.from(thrown).message}`,
      {
        subject: network,
        reason: "namespace-refused",
        cause: thrown,
      },
    );
  } finally {
    child.stdin.end();
    child.kill("SIGKILL");
    await ended;
  }
}

/** Lets go of a namespace; what still runs in it keeps it. Nothing happens where there is none. */
export async function unpinNamespace(options: {
  readonly binding: Pick<NativeBinding, "umount">;
  readonly path: string;
}): Promise<void> {
  // Not mounted, or not there: the file is all that is left.
  await options.binding.umount(options.path, MNT_DETACH).catch(() => undefined);
  await rm(options.path, { force: true });
}

async function isThere(child: ReturnType<typeof spawn>): Promise<void> {
  let stderr = "";
  child.stderr?.on("data", (piece: Buffer) => {
    stderr = (stderr + piece.toString("latin1")).slice(0, 1000);
  });
  const lines = createInterface({ input: child.stdout! });
  await new Promise<void>((resolve, reject) => {
    lines.once("line", () => resolve());
    child.once("error", reject);
    child.once("close", (code) => reject(new Error(`unshare ended with ${code}: ${stderr.trim()}`)));
  });
  lines.close();
}

/** The format of /proc/PID/uid_map, user_namespaces(7). */
function mapText(ranges: readonly UserRange[]): string {
  return ranges.map(({ containerId, hostId, size }) => `${containerId} ${hostId} ${size}\n`).join("");
}
