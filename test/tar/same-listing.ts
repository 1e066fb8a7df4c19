import type { ByteString } from "../../src/bytes/index.js";
import type { CompiledTar } from "../../src/tar/index.js";
import { type DirectoryNode, walkTree } from "../../src/tree/index.js";
import { type Listing, listFolder, listTree } from "../erofs/listing.js";
import { dataFileOf } from "./compiled.js";

const OWNER_WORD = 2;
const TIME_WORD = 3;
const ROOT = "." as ByteString;

export interface Listings {
  readonly seen: Listing;
  readonly wanted: Listing;
}

/**
 * The listing of a compiled archive and that of the folder into which containerd unpacked it, without what containerd
 * takes from its clock: times of the root, of directories without an entry, and of whiteouts. Whiteouts have the owner
 * of their marker there, which nobody can see through overlayfs.
 */
export function listBoth(tar: Buffer, result: CompiledTar, folder: string): Listings {
  const untimed = new Set<ByteString>([ROOT]);
  const paths = new Map<DirectoryNode, ByteString>([[result.root, ROOT]]);
  for (const { name, node, parent } of walkTree(result.root)) {
    if (parent === undefined) continue;
    const path = `${paths.get(parent)}/${name}` as ByteString;
    if (node.kind === "directory") {
      paths.set(node, path);
      if (result.implied.has(node)) untimed.add(path);
    } else if (node.kind === "character" && node.major === 0 && node.minor === 0) untimed.add(path);
  }
  const strip = (listing: Listing): Listing =>
    new Map(
      [...listing].map(([path, line]) => {
        const words = line.split(" ");
        if (untimed.has(path)) words[TIME_WORD] = "-";
        if (untimed.has(path) && words[0] === "character") words[OWNER_WORD] = "-";
        return [path, words.join(" ")];
      }),
    );
  return {
    seen: strip(listTree(result.root, dataFileOf(tar, result))),
    wanted: strip(listFolder(folder)),
  };
}
