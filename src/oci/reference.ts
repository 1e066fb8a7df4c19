import { type Digest, parseDigest } from "../bytes/index.js";
import { invalidArgument, LazuliError } from "../errors/index.js";

/** The name of an image, with Docker's defaults filled in. */
export interface Reference {
  /** Host with port where given: `docker.io`, `localhost:5000`, `[::1]:5000`. */
  readonly registry: string;
  /** `library/python`. */
  readonly repository: string;
  readonly tag: string | undefined;
  readonly digest: Digest | undefined;
  /** The whole name: `docker.io/library/python:3.12`. */
  toString(): string;
}

const TEXT_LENGTH_MAX = 4096;
/** Of registry and repository together (distribution, reference.NameTotalLengthMax). */
const NAME_LENGTH_MAX = 255;
const PORT_MAX = 65_535;

const repositoryComponent = /^[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*$/;
const hostComponent = /^(?:[A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9-]*[A-Za-z0-9])$/;
const bracketedHost = /^\[[0-9A-Fa-f:.]{2,45}\]$/;
const tagShape = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;

/** @throws INVALID_ARGUMENT with reason `reference-invalid` */
export function parseReference(text: string): Reference {
  const problem = (what: string): LazuliError =>
    invalidArgument(`Cannot read image reference "${text.slice(0, 100)}": ${what}`, {
      reason: "reference-invalid",
      hint: "Write [registry/]repository[:tag][@digest], e.g. docker.io/library/python:3.12",
    });
  if (text.length > TEXT_LENGTH_MAX) throw problem(`want at most ${TEXT_LENGTH_MAX} characters`);
  const at = text.indexOf("@");
  const digest = at < 0 ? undefined : digestOf(text.slice(at + 1), problem);
  const name = at < 0 ? text : text.slice(0, at);
  if (/^[a-f0-9]{64}$/.test(name)) throw problem("a bare image id is no name");
  const slash = name.indexOf("/");
  const first = slash < 0 ? "" : name.slice(0, slash);
  const hasRegistry = /[.:A-Z]/.test(first) || first === "localhost";
  const rest = hasRegistry ? name.slice(slash + 1) : name;
  const colon = rest.indexOf(":");
  const path = colon < 0 ? rest : rest.slice(0, colon);
  const tag = colon < 0 ? undefined : rest.slice(colon + 1);
  if (tag !== undefined && !tagShape.test(tag)) throw problem("the tag is malformed");
  const registry = hasRegistry && first !== "index.docker.io" ? first : "docker.io";
  if (!isHost(registry)) throw problem("the registry is malformed");
  const repository = registry === "docker.io" && !path.includes("/") ? `library/${path}` : path;
  if (!repository.split("/").every((component) => repositoryComponent.test(component))) {
    throw problem("the repository is malformed");
  }
  if (registry.length + 1 + repository.length > NAME_LENGTH_MAX) throw problem("the name is too long");
  return makeReference({ registry, repository, tag, digest });
}

/** A reference from parts that are valid; without tag and digest it means `latest`. */
export function makeReference(parts: {
  readonly registry: string;
  readonly repository: string;
  readonly tag: string | undefined;
  readonly digest: Digest | undefined;
}): Reference {
  const { registry, repository, digest } = parts;
  const tag = parts.tag ?? (digest === undefined ? "latest" : undefined);
  const tagPart = tag === undefined ? "" : `:${tag}`;
  const digestPart = digest === undefined ? "" : `@${digest}`;
  return {
    registry,
    repository,
    tag,
    digest,
    toString: () => `${registry}/${repository}${tagPart}${digestPart}`,
  };
}

function digestOf(text: string, problem: (what: string) => LazuliError): Digest {
  try {
    return parseDigest(text);
  } catch (error) {
    if (error instanceof LazuliError) throw problem("the digest is malformed");
    throw error;
  }
}

function isHost(registry: string): boolean {
  const bracket = registry.lastIndexOf("]");
  const colon = registry.indexOf(":", bracket + 1);
  const host = colon < 0 ? registry : registry.slice(0, colon);
  if (colon >= 0) {
    const port = registry.slice(colon + 1);
    if (!/^[0-9]{1,5}$/.test(port) || Number(port) < 1 || Number(port) > PORT_MAX) return false;
  }
  return bracketedHost.test(host) || host.split(".").every((component) => hostComponent.test(component));
}
