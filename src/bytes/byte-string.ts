/**
 * A name or path as bytes, held in a JavaScript string with one character (0-255) a byte. File names on Linux are
 * bytes: a UTF-16 string would make two different names equal where they aren't valid UTF-8.
 */
export type ByteString = string & { readonly __byteString: unique symbol };

/** From a text: its UTF-8 bytes. */
export function bytesOfText(text: string): ByteString {
  return Buffer.from(text, "utf8").toString("latin1") as ByteString;
}

export function bytesOfBuffer(bytes: Uint8Array): ByteString {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1") as ByteString;
}

export function bufferOfBytes(name: ByteString): Buffer {
  return Buffer.from(name, "latin1");
}

/** For people: as UTF-8 where it is, else with replacement characters. */
export function textOfBytes(name: ByteString): string {
  return Buffer.from(name, "latin1").toString("utf8");
}

/** Order of the raw bytes, as EROFS wants its directory entries. */
export function compareBytes(left: ByteString, right: ByteString): number {
  return left < right ? -1 : left > right ? 1 : 0;
}
