import { type CompiledTar, compileTar, readTar } from "../../src/tar/index.js";

/** Reads and compiles an archive in memory. */
export async function compiled(tar: Buffer): Promise<CompiledTar> {
  const entries = readTar({
    size: tar.length,
    read: async ({ offset, length }) => tar.subarray(offset, offset + length),
  });
  return await compileTar({ entries, tarSize: tar.length });
}

/** The data file of a layer as an eager pull makes it: the tar, and its sparse files spread out behind it. */
export function dataFileOf(tar: Buffer, { needsCopy, dataSize }: CompiledTar): Buffer {
  const data = Buffer.alloc(dataSize);
  tar.copy(data);
  for (const { parts } of needsCopy) {
    for (const { from, to, length } of parts) tar.copy(data, to, from, from + length);
  }
  return data;
}
