import { invalidArgument } from "../errors/index.js";
import { parseReference } from "../oci/index.js";

/** A name as containerd splits it (pkg/reference): the place, and tag or digest behind it. */
export interface NameParts {
  /** `host:port/repository`. */
  readonly locator: string;
  /** `tag`, `tag@digest` or `@digest`; "" for none. */
  readonly object: string;
  /** Without the port. */
  readonly hostname: string;
  readonly repository: string;
}

/** @throws INVALID_ARGUMENT with containerd's texts */
export function nameParts(name: string): NameParts {
  const bad = (text: string): Error =>
    invalidArgument(text, { subject: name.slice(0, 256), reason: "reference-invalid" });
  if (name.includes("://") || /\s/.test(name)) throw bad("invalid reference");
  const slash = name.indexOf("/");
  const host = slash < 0 ? name : name.slice(0, slash);
  if (host === "") throw bad("hostname required");
  const path = slash < 0 ? "" : name.slice(slash);
  const cut = path.search(/[:@]/);
  const object = cut < 0 ? "" : path.slice(cut).replace(/^:/, "");
  const repository = (cut < 0 ? path : path.slice(0, cut)).replace(/^\/+|\/+$/g, "");
  const locator = repository === "" ? host : `${host}/${repository}`;
  return { locator, object, repository, hostname: host.replace(/:\d+$/, "").replace(/^\[|\]$/g, "") };
}

/** The parts of a name that can be resolved at a registry. @throws INVALID_ARGUMENT */
export function requireResolvable(name: string): NameParts {
  const parts = nameParts(name);
  if (parts.object === "") {
    throw invalidArgument("object required", { subject: name, reason: "reference-invalid" });
  }
  parseReference(name);
  return parts;
}

/** What stands in `org.opencontainers.image.ref.name`: the tag alone, or the whole name where there is none. */
export function ociRefName(name: string): string {
  let object: string;
  try {
    object = nameParts(name).object;
  } catch {
    // A name of another form is kept as it is.
    return name;
  }
  return object === "" || object.startsWith("@") ? name : object;
}

/** Docker's short form of a name: `python:3.12` for `docker.io/library/python:3.12`. */
export function familiarName(name: string): string {
  const { registry, repository, tag, digest } = parseReference(name);
  const isHub = registry === "docker.io";
  const path = isHub ? repository.replace(/^library\//, "") : `${registry}/${repository}`;
  return `${path}${tag === undefined ? "" : `:${tag}`}${digest === undefined ? "" : `@${digest}`}`;
}

/**
 * The name that an annotation gives below a prefix; "" for none. A full name counts when it has the prefix, or with
 * `allowOverwrite` in any case; a bare tag is put behind the prefix (core/images/archive/reference.go).
 */
export function prefixedName(
  prefix: string,
  given: { readonly name: string; readonly allowOverwrite: boolean },
): string {
  const { name, allowOverwrite } = given;
  if (prefix === "") return "";
  if (!/[/:@]/.test(name)) return `${prefix}:${name}`;
  const next = name.slice(prefix.length, prefix.length + 1);
  const hasPrefix = name.startsWith(prefix) && ["", "/", ":", "@"].includes(next);
  return allowOverwrite || hasPrefix ? name : "";
}
