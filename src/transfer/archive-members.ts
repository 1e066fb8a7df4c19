import { type FileHandle, open, stat } from "node:fs/promises";
import { posix } from "node:path";
import type { ByteString } from "../bytes/index.js";
import { readTar } from "../tar/index.js";
import { entryPath } from "./entry-path.js";

/** Where a file's content lies in an archive. Bytes. */
export interface Member {
  readonly offset: number;
  readonly size: number;
}

/** Files of an archive; an image has hundreds. Further ones are not seen. */
const MEMBERS_MAX = 100_000;

/** The files of an archive by their names, and by the names that links give to those before them. @throws as readTar() */
export async function readMembers(path: string): Promise<ReadonlyMap<string, Member>> {
  const { size } = await stat(path);
  await using file = await openForReading(path);
  const read = async (range: { offset: number; length: number }): Promise<Buffer> => {
    const bytes = Buffer.alloc(range.length);
    const { bytesRead } = await file.handle.read(bytes, 0, range.length, range.offset);
    return bytes.subarray(0, bytesRead);
  };
  const members = new Map<string, Member>();
  const links: { readonly name: string; readonly target: string }[] = [];
  for await (const entry of readTar({ size, read })) {
    const name: ByteString | undefined = entryPath(entry.name);
    if (name === undefined || entry.sparse !== undefined) continue;
    if (members.size + links.length >= MEMBERS_MAX) break;
    if (entry.kind === "file") members.set(name, { offset: entry.dataOffset, size: entry.size });
    if (entry.kind === "hardlink") links.push({ name, target: entry.linkName });
    if (entry.kind === "symlink") {
      links.push({ name, target: posix.join(posix.dirname(name), entry.linkName) });
    }
  }
  for (const { name, target } of links) {
    const member = members.get(entryPath(target as ByteString) ?? "");
    if (member !== undefined && !members.has(name)) members.set(name, member);
  }
  return members;
}

/** The first bytes of a member, at most so many. */
export async function readMember(path: string, { offset, size }: Member, bytesMax: number): Promise<Buffer> {
  await using file = await openForReading(path);
  const bytes = Buffer.alloc(Math.min(size, bytesMax));
  const { bytesRead } = await file.handle.read(bytes, 0, bytes.length, offset);
  return bytes.subarray(0, bytesRead);
}

async function openForReading(path: string): Promise<AsyncDisposable & { readonly handle: FileHandle }> {
  const handle = await open(path, "r");
  return { handle, [Symbol.asyncDispose]: async () => await handle.close() };
}
