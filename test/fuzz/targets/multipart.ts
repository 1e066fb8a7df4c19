import { multipartBytes } from "../../../src/registry/multipart.js";
import { refusingLater } from "../target.js";

const wanted = { offset: 0, length: 8, size: 8, subject: "blob", host: "registry.example" };

/** In pieces as long as the first byte says. */
export const fuzz = refusingLater(async (bytes) => {
  const step = 1 + (bytes[0] ?? 0);
  const pieces = async function* () {
    for (let at = 1; at < bytes.length; at += step) yield bytes.subarray(at, at + step);
  };
  let length = 0;
  for await (const piece of multipartBytes(pieces(), { boundary: "b", wanted })) length += piece.length;
  if (length > wanted.length) throw new Error(`${length} bytes where ${wanted.length} were asked for`);
});
