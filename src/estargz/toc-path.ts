import { type ByteString, bytesOfText } from "../bytes/index.js";
import { COMPONENT_BYTES_MAX, DEPTH_MAX, PATH_BYTES_MAX } from "./limits.js";
import { refuseToc, refuseTocSize, shown } from "./refusal.js";

const SLASH = 0x2f;
const DOT = 0x2e;

/**
 * A text of a TOC as the bytes of a name. The writer of a TOC has put U+FFFD where a name was not UTF-8: such a name
 * is lost, and the layer can only be had from its tar.
 */
export function tocBytes(text: string, entry: number): ByteString {
  let isAscii = true;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === 0) throw refuseToc("toc-name", `${shown(text)} has a NUL`, entry);
    if (code > 0x7f) isAscii = false;
  }
  if (isAscii) return text as ByteString;
  if (/[\ufffd\ud800-\udfff]/u.test(text)) {
    throw refuseToc("toc-name-lossy", `${shown(text)} is not the name that the tar has`, entry);
  }
  return bytesOfText(text);
}

/**
 * A path without slashes at its ends, without empty components and ".", as bytes; "" is the root. `..` is refused:
 * what it means depends on who unpacks.
 */
export function cleanPath(name: string, entry: number): ByteString {
  if (name.length > PATH_BYTES_MAX) throw tooLong(name, entry);
  const bytes = tocBytes(name, entry);
  if (bytes.length > PATH_BYTES_MAX) throw tooLong(name, entry);
  const path = isClean(bytes) ? bytes : cleaned(bytes);
  checkComponents(path, entry);
  return path;
}

function cleaned(path: ByteString): ByteString {
  const components = path.split("/").filter((component) => component !== "" && component !== ".");
  return components.join("/") as ByteString;
}

/** No empty component and none that is ".": true for what most TOCs hold. */
function isClean(path: ByteString): boolean {
  let start = 0;
  for (let at = 0; at <= path.length; at++) {
    if (at < path.length && path.charCodeAt(at) !== SLASH) continue;
    if (at === start || (at === start + 1 && path.charCodeAt(start) === DOT)) return false;
    start = at + 1;
  }
  return true;
}

function checkComponents(path: ByteString, entry: number): void {
  let start = 0;
  let depth = 1;
  for (let at = 0; at <= path.length; at++) {
    if (at < path.length && path.charCodeAt(at) !== SLASH) continue;
    if (at - start > COMPONENT_BYTES_MAX) throw tooLong(path, entry);
    if (at - start === 2 && path.charCodeAt(start) === DOT && path.charCodeAt(start + 1) === DOT) {
      throw refuseToc("toc-name", `${shown(path)} has the component ".."`, entry);
    }
    if (at < path.length) depth += 1;
    start = at + 1;
  }
  if (depth > DEPTH_MAX) throw tooLong(path, entry);
}

function tooLong(name: string, entry: number): Error {
  return refuseTocSize(
    "toc-path-too-long",
    `want at most ${PATH_BYTES_MAX} bytes, ${DEPTH_MAX} components and ${COMPONENT_BYTES_MAX} bytes in each, got ${shown(name)}`,
    entry,
  );
}
