import type { ByteString } from "../bytes/index.js";
import { COMPONENT_BYTES_MAX, DEPTH_MAX, PATH_BYTES_MAX } from "./limits.js";
import { refuseZtoc, refuseZtocSize, shown } from "./refusal.js";

/**
 * A path without slashes at its ends, without empty components and "."; "" is the root. `..` is refused: what it means
 * depends on who unpacks.
 */
export function cleanPath(name: ByteString, entry: number): ByteString {
  if (name.length > PATH_BYTES_MAX) throw tooLong(name, entry);
  if (name.includes("\0")) throw refuseZtoc("ztoc-name", `${shown(name)} has a NUL`, entry);
  const components = name.split("/").filter((component) => component !== "" && component !== ".");
  if (components.length > DEPTH_MAX) throw tooLong(name, entry);
  for (const component of components) {
    if (component.length > COMPONENT_BYTES_MAX) throw tooLong(name, entry);
    if (component === "..") throw refuseZtoc("ztoc-name", `${shown(name)} has the component ".."`, entry);
  }
  return components.join("/") as ByteString;
}

function tooLong(name: string, entry: number): Error {
  return refuseZtocSize(
    "ztoc-path-too-long",
    `want at most ${PATH_BYTES_MAX} bytes, ${DEPTH_MAX} components and ${COMPONENT_BYTES_MAX} bytes in each, got ${shown(name)}`,
    entry,
  );
}
