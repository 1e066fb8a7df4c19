import { FrameReader } from "../../../src/ttrpc/frame.js";
import { refusing } from "../target.js";

/** In pieces as long as the first byte says. */
export const fuzz = refusing((bytes) => {
  const step = 1 + (bytes[0] ?? 0);
  const reader = new FrameReader();
  for (let at = 1; at < bytes.length; at += step) {
    for (const { body } of reader.push(bytes.subarray(at, at + step))) body?.at(-1);
  }
});
