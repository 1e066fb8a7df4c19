import type { ByteString } from "../bytes/index.js";
import type { DirectoryNode, TreeNode } from "../tree/index.js";
import { refuseToc, shown } from "./refusal.js";

/** A hard link whose target is looked up once the whole tree is known: it may come before its target. */
export interface PendingLink {
  readonly parent: DirectoryNode;
  readonly name: ByteString;
  /** Clean path from the root. */
  readonly target: ByteString;
  readonly index: number;
  /** Whether its target came before it: then what its own entry says of the inode counts. */
  readonly describesTarget: boolean;
}

export interface LinkOptions {
  readonly root: DirectoryNode;
  /** By the node that holds the link's place in the tree. */
  readonly pending: ReadonlyMap<TreeNode, PendingLink>;
  /** Paths that had more than one entry: a link to one may mean either. */
  readonly replaced: ReadonlySet<string>;
}

const CAPABILITY = "security.capability";
/** Linux knows no other. */
const SYMLINK_MODE = 0o777;

/**
 * Puts the target's node in the place of each link, and gives it what the link's entry says, as an unpacking containerd
 * does. Follows links to links without recursion, each one once.
 * @throws INVALID_ARGUMENT with reason `toc-hardlink-missing`, `toc-hardlink-cycle`, `toc-hardlink-target`
 */
export function resolveHardlinks(options: LinkOptions): void {
  const { pending } = options;
  for (const start of pending.keys()) {
    const chain: PendingLink[] = [];
    const seen = new Set<TreeNode>();
    let node: TreeNode = start;
    for (let link = pending.get(node); link !== undefined; link = pending.get(node)) {
      if (seen.has(node))
        throw refuseToc("toc-hardlink-cycle", `a hard link leads back to itself`, link.index);
      seen.add(node);
      // A link that an earlier round resolved is not pending in the tree any more: its target stands there.
      chain.push(link);
      node = targetOf(link, options);
    }
    for (const link of chain) link.parent.children.set(link.name, node);
  }
  for (const [holder, link] of pending) {
    if (link.describesTarget) describe(link.parent.children.get(link.name)!, holder);
  }
}

function describe(node: TreeNode, { mode, uid, gid, mtime, xattrs }: TreeNode): void {
  const set = new Set(xattrs.map(({ name }) => name));
  // The kernel takes the capabilities of a file away when its owner is set.
  const kept = node.xattrs.filter(
    ({ name }) => !set.has(name) && (node.kind !== "file" || name !== CAPABILITY),
  );
  Object.assign(node, { uid, gid, mtime, xattrs: [...kept, ...xattrs] });
  node.mode = node.kind === "symlink" ? SYMLINK_MODE : mode;
}

function targetOf(link: PendingLink, { root, replaced }: LinkOptions): TreeNode {
  const target = lookUp(root, link.target);
  if (target === undefined) {
    throw refuseToc("toc-hardlink-missing", `no entry ${shown(link.target)} to link to`, link.index);
  }
  if (target.kind === "directory") {
    throw refuseToc("toc-hardlink-target", `${shown(link.target)} is a directory`, link.index);
  }
  if (link.target.slice(link.target.lastIndexOf("/") + 1).startsWith(".wh.")) {
    throw refuseToc("toc-hardlink-target", `${shown(link.target)} is a whiteout`, link.index);
  }
  if (replaced.has(link.target)) {
    throw refuseToc("toc-hardlink-target", `${shown(link.target)} has several entries`, link.index);
  }
  return target;
}

export function lookUp(root: DirectoryNode, path: ByteString): TreeNode | undefined {
  if (path === "") return root;
  let node: TreeNode | undefined = root;
  for (const component of path.split("/")) {
    if (node?.kind !== "directory") return undefined;
    node = node.children.get(component as ByteString);
  }
  return node;
}
