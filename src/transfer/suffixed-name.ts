import { invalidArgument } from "../errors/index.js";

/** The name of what goes along with an image. @throws INVALID_ARGUMENT `name-missing` */
export function suffixedName(name: string | undefined, suffix: string | undefined): string | undefined {
  if (suffix === undefined) return name;
  if (name !== undefined) return `${name}${suffix}`;
  throw invalidArgument(`Cannot name what goes along with the image: want a name to put "${suffix}" behind`, {
    reason: "name-missing",
    hint: "Give the target a tag or name: registry/repository:tag, oci:<folder>:<name>",
  });
}
