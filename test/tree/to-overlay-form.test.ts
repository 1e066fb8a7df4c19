import t from "tap";
import { type ByteString, bytesOfText } from "../../src/bytes/index.js";
import { type TreeNode, toOverlayForm, walkTree } from "../../src/tree/index.js";
import { directory, file, symlink, xattr } from "../erofs/trees.js";

const time = { seconds: 5n, nanoseconds: 7 };

function child(parent: TreeNode, name: string): TreeNode | undefined {
  return parent.kind === "directory" ? parent.children.get(bytesOfText(name)) : undefined;
}

function namesOf(node: TreeNode | undefined): string[] {
  return node?.kind === "directory" ? [...node.children.keys()].sort() : [];
}

t.test("toOverlayForm() turns whiteouts into devices 0:0", async (t) => {
  const root = directory({
    ".wh.gone": file(0, undefined, { mtime: time, uid: 9 }),
    inner: directory({ ".wh.gone-too": directory({ lost: file(0) }), kept: file(0) }),
  });
  const report = toOverlayForm(root);
  t.match(report, { whiteouts: 2, opaqueDirectories: 0, droppedMarkers: 0 });
  const whiteout = { kind: "character", major: 0, minor: 0, mode: 0, uid: 0, gid: 0, xattrs: [] };
  t.same(child(root, "gone"), { ...whiteout, mtime: time });
  t.same(namesOf(root), ["gone", "inner"]);
  t.same(namesOf(child(root, "inner")), ["gone-too", "kept"]);
  t.match(child(child(root, "inner")!, "gone-too"), whiteout);
});

t.test("toOverlayForm() marks opaque directories, the root among them", async (t) => {
  const root = directory({
    ".wh..wh..opq": file(0),
    inner: directory({ ".wh..wh..opq": file(0), x: file(0) }),
  });
  t.match(toOverlayForm(root), { whiteouts: 0, opaqueDirectories: 2 });
  const opaque = [xattr("trusted.overlay.opaque", "y")];
  t.same(root.xattrs, opaque);
  t.same(child(root, "inner")?.xattrs, opaque);
  t.same(namesOf(child(root, "inner")), ["x"]);
});

t.test("toOverlayForm() keeps what a layer has under a name that it also hides", async (t) => {
  const root = directory({ ".wh.both": file(0), both: symlink("x") });
  t.match(toOverlayForm(root), { whiteouts: 0, droppedMarkers: 1 });
  t.same(namesOf(root), ["both"]);
  t.equal(child(root, "both")?.kind, "symlink");
});

t.test("toOverlayForm() drops markers that hide nothing", async (t) => {
  const markers = [".wh.", ".wh..", ".wh...", ".wh..wh.plnk", ".wh..wh.", ".wh..wh..opq.x", ".wh..wh.aufs"];
  const root = directory(markers.map((name) => [bytesOfText(name), file(0)] as const));
  t.match(toOverlayForm(root), { whiteouts: 0, opaqueDirectories: 0, droppedMarkers: markers.length });
  t.same(namesOf(root), []);
});

t.test("toOverlayForm() leaves names that only look like markers", async (t) => {
  const names = [".whx", "wh.x", ".wh", "x.wh.y"];
  const root = directory(names.map((name) => [bytesOfText(name), file(0)] as const));
  toOverlayForm(root);
  t.same(namesOf(root), [...names].sort());
  const dots = directory({ ".wh....": file(0) });
  toOverlayForm(dots);
  t.same(namesOf(dots), ["..."]);
});

t.test("toOverlayForm() drops attributes with which a layer would command overlayfs", async (t) => {
  const kept = [xattr("user.note", "1"), xattr("trusted.other", "2"), xattr("system.posix_acl_access", "3")];
  const commands = ["trusted.overlay.opaque", "trusted.overlay.redirect", "user.overlay.metacopy"];
  const foreign = ["btrfs.compression", "system.nfs4_acl", "user."];
  const xattrs = [...kept, ...[...commands, ...foreign].map((name) => xattr(name, "y"))];
  const shared = file(0, undefined, { xattrs });
  const root = directory({ a: shared, b: shared, ".wh..wh..opq": file(0) }, { xattrs });
  const report = toOverlayForm(root);
  t.equal(report.droppedOverlayXattrs, 6, "once for each inode");
  t.equal(report.droppedForeignXattrs, 6);
  t.same(shared.xattrs, kept);
  t.same(root.xattrs, [...kept, xattr("trusted.overlay.opaque", "y")]);
});

t.test("walkTree() gives each name once, directories first, as deep as it goes", async (t) => {
  const shared = file(0);
  const tree = directory({ a: directory({ one: shared }), b: shared });
  const names = [...walkTree(tree)].map(({ name }) => name as string);
  t.same([...names].sort(), ["", "a", "b", "one"]);
  t.ok(names.indexOf("a") < names.indexOf("one"));
  let deep = directory({});
  for (let depth = 0; depth < 50_000; depth += 1) deep = directory({ d: deep });
  t.equal([...walkTree(deep)].length, 50_001);
  t.same(
    [...walkTree(deep)].slice(0, 2).map(({ parent }) => parent),
    [undefined, deep],
  );
  t.equal(deep.children.get("d" as ByteString)?.kind, "directory");
});

t.test("toOverlayForm() moves times before 1970 to 1970, as an unpacking containerd does", async (t) => {
  const root = directory({ old: file(0, undefined, { mtime: { seconds: -5n, nanoseconds: 7 } }) });
  toOverlayForm(root);
  t.same(child(root, "old")?.mtime, { seconds: 0n, nanoseconds: 0 });
});
