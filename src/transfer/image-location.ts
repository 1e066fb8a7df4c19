import { resolve } from "node:path";
import { invalidArgument } from "../errors/index.js";
import { parseReference } from "../oci/index.js";

/** Where an image lies, as skopeo writes it; a text without a scheme is a registry's. */
export type ImageLocation =
  | { readonly kind: "registry"; readonly reference: string }
  | {
      readonly kind: "layout" | "archive" | "docker-archive";
      readonly path: string;
      readonly name: string | undefined;
    };

const schemes = {
  "docker://": "registry",
  "docker-archive:": "docker-archive",
  "oci:": "layout",
  "oci-archive:": "archive",
} as const;

/**
 * Reads `[docker://]<reference>`, `oci:<folder>[:<name>]` or `oci-archive:<file>[:<name>]`, whose names may have no slash,
 * or `docker-archive:<file>[:<reference>]`, whose path may have no colon.
 * @throws INVALID_ARGUMENT
 */
export function parseImageLocation(text: string): ImageLocation {
  const scheme = Object.entries(schemes).find(([prefix]) => text.startsWith(prefix));
  const kind = scheme?.[1] ?? "registry";
  const rest = scheme === undefined ? text : text.slice(scheme[0].length);
  if (kind === "registry") return { kind, reference: parseReference(rest).toString() };
  const isDocker = kind === "docker-archive";
  const colon = isDocker ? rest.indexOf(":") : rest.lastIndexOf(":");
  const hasName = isDocker ? colon >= 0 : colon > rest.lastIndexOf("/");
  const path = hasName ? rest.slice(0, colon) : rest;
  if (path === "") {
    throw invalidArgument(
      `Cannot read the image's place ${JSON.stringify(text)}: want a path behind the colon`,
      {
        subject: text,
        reason: "location-invalid",
        hint: "Write registry/repository:tag, oci:<folder>[:<name>], oci-archive:<file>[:<name>] or docker-archive:<file>[:<reference>]",
      },
    );
  }
  return { kind, path: resolve(path), name: hasName ? rest.slice(colon + 1) : undefined };
}
