import type { ByteString } from "../src/bytes/index.js";
import type { DirectoryNode, TreeNode } from "../src/tree/index.js";
import { Crc64, type TarSplitPiece } from "../src/zstdchunked/index.js";

/** Puts the contents of a layer between the pieces of its tar-split, and checks their checksums. */
export function rebuildTar(options: {
  readonly pieces: Iterable<TarSplitPiece>;
  readonly root: DirectoryNode;
  readonly data: Buffer;
}): Buffer {
  const parts: Buffer[] = [];
  for (const piece of options.pieces) {
    if (piece.kind === "segment") {
      parts.push(piece.bytes);
      continue;
    }
    if (piece.size === 0) continue;
    const node = nodeAt(options.root, piece.name);
    if (node?.kind !== "file" || node.dataOffset === undefined)
      throw new Error(`${piece.name} is no file with content`);
    const start = Number(node.dataOffset);
    const content = options.data.subarray(start, start + piece.size);
    const crc = new Crc64();
    crc.update(content);
    if (!crc.digest().equals(piece.crc64!)) throw new Error(`${piece.name} has another checksum`);
    parts.push(content);
  }
  return Buffer.concat(parts);
}

function nodeAt(root: DirectoryNode, path: ByteString): TreeNode | undefined {
  let node: TreeNode | undefined = root;
  for (const name of path.split("/").filter((component) => component !== "" && component !== ".")) {
    if (node?.kind !== "directory") return undefined;
    node = node.children.get(name as ByteString);
  }
  return node;
}
