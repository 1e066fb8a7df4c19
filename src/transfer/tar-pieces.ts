import { type TarEntry, TarReader } from "../tar/index.js";

/** An archive in the order in which it is written. */
export type TarPiece =
  | {
      readonly kind: "entry";
      readonly entry: TarEntry;
      /** What pads the contents before. */
      readonly padding: Buffer;
      /** Its header with all extension headers. */
      readonly header: Buffer;
    }
  | { readonly kind: "content"; readonly bytes: Buffer }
  /** A file of one byte that tells a reader where what it should prefetch ends. */
  | { readonly kind: "landmark"; readonly name: string }
  /** What follows the last entry and its contents: padding, the end, and whatever stands behind. */
  | { readonly kind: "tail"; readonly bytes: Buffer };

/** The longest header with its extensions is shorter (src/tar, SPECIAL_HEADERS_MAX): more bytes follow the end. */
const HEADER_BYTES_MAX = 66 * 1024 * 1024;

/** Cuts an archive into its pieces. @throws what TarReader throws */
export async function* tarPieces(chunks: AsyncIterable<Buffer>): AsyncGenerator<TarPiece, void, undefined> {
  const reader = new TarReader();
  let held: Buffer[] = [];
  let heldBytes = 0;
  let hasContent = false;
  for await (const chunk of chunks) {
    const base = reader.offset;
    let at = 0;
    for (const event of reader.push(chunk)) {
      if (event.kind === "content") {
        // The padding of a global header comes as contents of an entry that has none.
        if (!hasContent) continue;
        at = event.bytes.byteOffset - chunk.byteOffset + event.bytes.length;
        yield event;
        continue;
      }
      const { entry } = event;
      hasContent = entry.packedSize > 0;
      // A global header pads itself, and that may still be to come.
      const end = Math.min(chunk.length, entry.dataOffset - base);
      const start = base + at - heldBytes;
      held.push(chunk.subarray(at, end));
      const bytes = held.length === 1 ? held[0]! : Buffer.concat(held);
      held = [];
      heldBytes = 0;
      at = end;
      const cut = entry.headerOffset - start;
      yield { kind: "entry", entry, padding: bytes.subarray(0, cut), header: bytes.subarray(cut) };
    }
    if (at === chunk.length) continue;
    held.push(chunk.subarray(at));
    heldBytes += chunk.length - at;
    if (heldBytes <= HEADER_BYTES_MAX) continue;
    for (const bytes of held) yield { kind: "tail", bytes };
    held = [];
    heldBytes = 0;
  }
  reader.end();
  if (heldBytes > 0) yield { kind: "tail", bytes: Buffer.concat(held) };
}
