import type { ByteString } from "../bytes/index.js";
import type { DirectoryNode, TreeNode } from "../tree/index.js";
import { LINKS_FOLLOWED_MAX, PATH_BYTES_MAX } from "./limits.js";
import { refuseTar, refuseTarSize, shown } from "./refusal.js";

/** Links that Linux follows in one path. */
const KERNEL_LINKS_MAX = 40;
/** Names looked up for paths with links in a whole archive: a few seconds' worth, far above what images need. */
const LOOKUPS_MAX = 20_000_000;

/** As Go's filepath.Clean: `..` stays at the start of a relative path only. Empty for the folder itself. */
export function cleanPath(path: string): string {
  const components: string[] = [];
  const isAbsolute = path.startsWith("/");
  for (const component of path.split("/")) {
    if (component === "" || component === ".") continue;
    const isUp = component === "..";
    if (!isUp || (!isAbsolute && (components.length === 0 || components.at(-1) === ".."))) {
      components.push(component);
    } else {
      components.pop();
    }
  }
  return (isAbsolute ? "/" : "") + components.join("/");
}

/** A path without `.`, `..` and empty components; `..` at the root stays there. Empty is the root. */
export function cleanComponents(path: string): ByteString[] {
  const components: ByteString[] = [];
  for (const component of path.split("/") as ByteString[]) {
    if (component === "" || component === ".") continue;
    if (component === "..") components.pop();
    else components.push(component);
  }
  return components;
}

/**
 * Where containerd's fs.RootPath leads: symbolic links are followed inside the tree and `..` is taken away before they
 * are, as text. So `link/../x` is `x` whatever `link` points to, which differs from what a kernel would do. One
 * difference is left: containerd looks up a path behind a link that it has not resolved yet, and if that link is
 * absolute it sees files of its host there; here nothing is there.
 */
export class PathResolver {
  readonly #root: DirectoryNode;
  #lookups = 0;

  constructor(root: DirectoryNode) {
    this.#root = root;
  }

  /**
   * The components of the place, of which the last ones may not exist.
   * @throws INVALID_ARGUMENT `tar-link-loop`, `tar-parent`; RESOURCE_EXHAUSTED `tar-path-too-long`
   */
  resolve(path: string, offset: number): ByteString[] {
    return this.#direct(path, offset) ?? this.#followed(path, offset);
  }

  /** For paths without links and `..`. */
  #direct(path: string, offset: number): ByteString[] | undefined {
    const components: ByteString[] = [];
    let node: TreeNode | undefined = this.#root;
    for (const component of path.split("/") as ByteString[]) {
      if (component === "" || component === ".") continue;
      if (component === "..") return undefined;
      if (node !== undefined) {
        if (node.kind !== "directory") throw noDirectory(path, offset);
        node = node.children.get(component);
        if (node?.kind === "symlink") return undefined;
      }
      components.push(component);
    }
    return components;
  }

  #followed(start: string, offset: number): ByteString[] {
    let path = start;
    let links = 0;
    for (;;) {
      let place = path.startsWith("/") ? "/" : "";
      let followed = 0;
      for (const component of path.split("/")) {
        if (component === "") continue;
        const joined = cleanComponents(`${place}/${component}`);
        const target = this.#linkAt(joined, offset);
        if (target === undefined) {
          place = `/${joined.join("/")}`;
        } else {
          followed += 1;
          // containerd joins, and so cleans, the target of all but the first part of a relative path.
          if (target.startsWith("/") || place === "") place = target;
          else place = `/${cleanComponents(`${place}/${target}`).join("/")}`;
        }
        if (place.length > PATH_BYTES_MAX) throw tooLong(start, offset);
        if (links + followed > LINKS_FOLLOWED_MAX) throw loop(start, offset);
      }
      const components = cleanComponents(place);
      const next = `/${components.join("/")}`;
      if (followed === 0 && next === path) return components;
      links += followed;
      path = followed === 0 ? next : place;
    }
  }

  /** The target if the path leads to a symbolic link: lstat and readlink of a kernel, inside the tree. */
  #linkAt(components: readonly ByteString[], offset: number): ByteString | undefined {
    const waiting = components.toReversed();
    const parents: DirectoryNode[] = [];
    let directory = this.#root;
    let links = 0;
    for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
      this.#lookups += 1;
      if (this.#lookups > LOOKUPS_MAX) throw loop(components.join("/"), offset);
      if (name === "" || name === ".") continue;
      if (name === "..") {
        const parent = parents.pop();
        if (parent === undefined) return undefined;
        directory = parent;
        continue;
      }
      const node = directory.children.get(name);
      if (node === undefined) return undefined;
      if (node.kind === "symlink") {
        if (waiting.length === 0) return node.target;
        links += 1;
        if (links > KERNEL_LINKS_MAX) throw loop(components.join("/"), offset);
        if (node.target.startsWith("/")) return undefined;
        waiting.push(...(node.target.split("/").reverse() as ByteString[]));
      } else if (node.kind === "directory") {
        parents.push(directory);
        directory = node;
      } else if (waiting.length > 0) {
        throw noDirectory(components.join("/"), offset);
      }
    }
    return undefined;
  }
}

function noDirectory(path: string, offset: number): Error {
  return refuseTar("tar-parent", `a part of ${shown(path)} is no directory`, offset);
}

function loop(path: string, offset: number): Error {
  return refuseTar("tar-link-loop", `too many links lead through ${shown(path)}`, offset);
}

function tooLong(path: string, offset: number): Error {
  return refuseTarSize("tar-path-too-long", `the links of ${shown(path)} lead too far`, offset);
}
