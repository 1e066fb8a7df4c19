import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writeErofs } from "../../src/erofs/index.js";
import { loadBinding } from "../../src/fuse/index.js";
import type { DirectoryNode } from "../../src/tree/index.js";

const MS_RDONLY = 1;
const MNT_DETACH = 2;

export const blockSizes = [512, 4096] as const;

/** A folder of its own that goes when the test ends. */
export function temporaryFolder(): Disposable & { readonly path: string } {
  const path = mkdtempSync(join(tmpdir(), "lazuli-erofs-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

export interface MountOptions {
  readonly root: DirectoryNode;
  readonly blockSize: 512 | 4096;
  /** What the data file begins with; the rest up to `dataSize` is a hole. */
  readonly data: Buffer;
  readonly dataSize?: number;
}

export interface MountedImage extends AsyncDisposable {
  /** Where the image is mounted. */
  readonly path: string;
  readonly dataPath: string;
  readonly imagePath: string;
}

/** Writes meta image and data file and has the kernel mount them. */
export async function mountImage(options: MountOptions): Promise<MountedImage> {
  const folder = temporaryFolder();
  const [path, dataPath, imagePath] = ["mnt", "data", "image"].map((name) => join(folder.path, name)) as [
    string,
    string,
    string,
  ];
  const dataSize = options.dataSize ?? options.data.length;
  try {
    mkdirSync(path);
    writeFileSync(dataPath, options.data);
    truncateSync(dataPath, dataSize);
    writeFileSync(imagePath, writeErofs({ root: options.root, blockSize: options.blockSize, dataSize }));
    await loadBinding().mount(imagePath, path, "erofs", MS_RDONLY, `device=${dataPath}`);
  } catch (error) {
    folder[Symbol.dispose]();
    throw error;
  }
  return {
    path,
    dataPath,
    imagePath,
    [Symbol.asyncDispose]: async () => {
      await loadBinding().umount(path, MNT_DETACH);
      folder[Symbol.dispose]();
    },
  };
}
