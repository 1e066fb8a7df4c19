import { createReadStream } from "node:fs";
import { lstat, open, readdir, rename, rm } from "node:fs/promises";
import { join, relative } from "node:path";
import { bytesOfText } from "../bytes/index.js";
import { TarWriter } from "../tar/index.js";

/** Images of CRIU name each process and pipe: a container with more is not archived. */
const FILES_MAX = 100_000;

/** Packs a folder's files and folders into a new archive that only this user reads. The target is there whole, or as before. */
export async function writeArchive(folder: string, target: string): Promise<void> {
  const partial = `${target}.partial`;
  const file = await open(partial, "wx", 0o600);
  try {
    const writer = new TarWriter();
    const write = async (bytes: Uint8Array): Promise<void> => {
      await file.appendFile(bytes);
    };
    for (const path of await pathsBelow(folder)) {
      const facts = await lstat(path);
      const isFolder = facts.isDirectory();
      if (!isFolder && !facts.isFile()) continue;
      const mtime = { seconds: BigInt(Math.trunc(facts.mtimeMs / 1000)), nanoseconds: 0 };
      const name = bytesOfText(relative(folder, path));
      const common = { name, mode: facts.mode & 0o7777, uid: facts.uid, gid: facts.gid, mtime };
      if (isFolder) {
        await write(writer.header({ ...common, kind: "directory" }));
        continue;
      }
      await write(writer.header({ ...common, kind: "file", size: facts.size }));
      // Not beyond its size: the archive has told it.
      if (facts.size > 0) {
        for await (const chunk of createReadStream(path, { end: facts.size - 1 }))
          await write(chunk as Buffer);
      }
      writer.content(facts.size);
      await write(writer.padding());
    }
    await write(writer.end());
    await file.sync();
    await file.close();
    await rename(partial, target);
  } catch (thrown) {
    await file.close().catch(() => undefined); // It may be closed already.
    await rm(partial, { force: true });
    throw thrown;
  }
}

/** Folders before what is in them. */
async function pathsBelow(folder: string): Promise<string[]> {
  const names = await readdir(folder, { recursive: true });
  return names
    .sort()
    .slice(0, FILES_MAX)
    .map((name) => join(folder, name));
}
