import type { Descriptor } from "../oci/index.js";

/** JSON as Go's encoder writes it, so that a document gets the same digest as with containerd. */
export function goJson(value: unknown): string {
  const escapes: Readonly<Record<string, string>> = {
    "<": "\\u003c",
    ">": "\\u003e",
    "&": "\\u0026",
    "\u2028": "\\u2028",
    "\u2029": "\\u2029",
  };
  return JSON.stringify(value).replace(/[<>&\u2028\u2029]/g, (character) => escapes[character]!);
}

/** A descriptor with its fields in the order of Go's struct, and its annotations in that of their keys. */
export function goDescriptor(descriptor: Omit<Descriptor, "annotations"> & Partial<Descriptor>): object {
  const { mediaType, digest, size, annotations = {}, platform } = descriptor;
  const sorted = Object.entries(annotations).sort(([left], [right]) => (left < right ? -1 : 1));
  return {
    mediaType,
    digest,
    size,
    ...(sorted.length === 0 ? {} : { annotations: Object.fromEntries(sorted) }),
    ...(platform === undefined
      ? {}
      : {
          platform: {
            architecture: platform.architecture,
            os: platform.os,
            ...(platform.variant === undefined ? {} : { variant: platform.variant }),
          },
        }),
  };
}
