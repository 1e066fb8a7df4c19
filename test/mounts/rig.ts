import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { loadBinding } from "../../src/fuse/index.js";
import { type MountBinding, type MountSpec, readMountInfo } from "../../src/mounts/index.js";
import { unmountBelow } from "../../testing/rig/containerd.js";

export const binding: MountBinding = loadBinding();

/** An empty folder; what is mounted below it and the folder itself go with the test. */
export function scratch(t: { teardown(step: () => Promise<void>): void }): string {
  const folder = mkdtempSync(join(tmpdir(), "lazuli-mounts-"));
  t.teardown(async () => {
    await unmountBelow(folder);
    rmSync(folder, { recursive: true });
  });
  return folder;
}

export function folders(base: string, ...names: string[]): string[] {
  const paths = names.map((name) => join(base, name));
  for (const path of paths) mkdirSync(path, { recursive: true });
  return paths;
}

export function file(path: string, text = ""): string {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
  return path;
}

export function spec(type: string, source: string, ...options: string[]): MountSpec {
  return { type, source, target: "", options };
}

/** The places below a folder where something is mounted. */
export async function mountedBelow(folder: string): Promise<string[]> {
  return (await readMountInfo()).map(({ target }) => target).filter((target) => target.startsWith(folder));
}

export function refusing(code: string, syscall = "refused"): () => Promise<never> {
  return () => Promise.reject(Object.assign(new Error(`${code}: ${syscall}`), { code, syscall }));
}

/** A kernel without the mount API of Linux 5.2. */
export function oldKernel(): MountBinding {
  const missing = refusing("ENOSYS", "fsopen");
  return {
    mount: binding.mount,
    umount: binding.umount,
    mounts: {
      ...binding.mounts,
      trySetting: missing,
      make: missing,
      clone: missing,
      setAttributes: missing,
      attach: missing,
    },
  };
}

/** A kernel that takes layers of overlayfs by their names only: Linux 6.8 to 6.12. */
export function namesOnlyKernel(): MountBinding {
  return {
    mount: binding.mount,
    umount: binding.umount,
    mounts: {
      ...binding.mounts,
      trySetting: async (type, key, value) => {
        if (typeof value === "number") await refusing("EINVAL", "fsconfig")();
        await binding.mounts.trySetting(type, key, value);
      },
      make: async (type, settings, attributes) => {
        if (settings.some(([, value]) => typeof value === "number")) await refusing("EINVAL", "fsconfig")();
        return await binding.mounts.make(type, settings, attributes);
      },
    },
  };
}
