import type { ByteString } from "../bytes/index.js";

/** The path of an entry below the layer's root, without slashes at its ends; undefined for one that leads out of it. */
export function entryPath(name: ByteString): ByteString | undefined {
  const parts = name.split("/").filter((part) => part !== "" && part !== ".");
  return parts.includes("..") ? undefined : (parts.join("/") as ByteString);
}
