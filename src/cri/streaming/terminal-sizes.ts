/** Longest message about a size: `{"Width":80,"Height":24}` with room. */
const SIZE_BYTES_MAX = 1024;

/** Sizes from a stream of JSON objects `{"Width":80,"Height":24}`. What is none is skipped. */
export async function* terminalSizes(
  bytes: AsyncIterable<Uint8Array>,
): AsyncGenerator<{ width: number; height: number }> {
  let text = "";
  for await (const piece of bytes) {
    text = (text + Buffer.from(piece).toString("latin1")).slice(-SIZE_BYTES_MAX);
    for (let end = text.indexOf("}"); end >= 0; end = text.indexOf("}")) {
      const size = sizeOf(text.slice(0, end + 1));
      text = text.slice(end + 1);
      if (size !== undefined) yield size;
    }
  }
}

function sizeOf(json: string): { width: number; height: number } | undefined {
  const width = /"width"\s*:\s*(\d{1,5})\b/i.exec(json)?.[1];
  const height = /"height"\s*:\s*(\d{1,5})\b/i.exec(json)?.[1];
  if (width === undefined || height === undefined) return undefined;
  const size = { width: Number(width), height: Number(height) };
  return size.width <= 0xffff && size.height <= 0xffff ? size : undefined;
}
