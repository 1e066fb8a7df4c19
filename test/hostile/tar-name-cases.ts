import { base256, rawHeader, rawTar } from "../../testing/tar/index.js";
import { refused, same, stricter, type TarCase } from "./tar-case.js";

const dir = (name: string) => ({ name, type: "5" });
const file = (name: string | Buffer, content = "x") => ({ name, content });
const link = (name: string, target: string) => ({ name, type: "2", link: target });
const hard = (name: string, target: string) => ({ name, type: "1", link: target });
const long = (path: string | Buffer) => ({ name: "long", content: "x", pax: [["path", path]] as const });

const ROOTS = ["", ".", "./", "/", "//", "..", "a/..", "../.."];
const ODD_BYTES: Readonly<Record<string, Buffer>> = {
  newline: Buffer.from("a\nb"),
  "carriage return": Buffer.from("a\rb"),
  "invalid UTF-8": Buffer.from([0x61, 0xff, 0xfe]),
  "right-to-left override": Buffer.from("a\u202egpj.exe"),
  backslash: Buffer.from("a\\b"),
  "a tab and escapes": Buffer.from("\t\x1b[31m"),
};

/** Names, and what stands where another name stands already. */
export const nameCases: readonly TarCase[] = [
  ...ROOTS.map((name) => same(`file named "${name}"`, rawTar(file(name), file("after")))),
  ...ROOTS.map((name) => same(`symlink named "${name}"`, rawTar(link(name, "/etc"), file("after")))),
  same("directory . with mode 0700", rawTar({ ...dir("./"), mode: 0o700, uid: 5 }, file("./a"))),
  same("device named .", rawTar({ name: ".", type: "3", major: 1, minor: 3 })),
  same("../x", rawTar(file("../x"))),
  same("a/../../x", rawTar(file("a/../../x"))),
  same("../../../../../../etc/passwd", rawTar(file("../../../../../../etc/passwd"))),
  same("/abs", rawTar(file("/abs/x"))),
  same("./a/./b//c", rawTar(file("./a/./b//c"))),
  same("slash behind a file", rawTar(file("a/"))),
  same("slash behind a v7 file makes a directory", rawTar({ name: "a/", type: "\0" })),
  same("NUL in a header's name ends it", rawTar(file("a\0b"))),
  refused("NUL in a PAX path", "tar-pax", rawTar(long("a\0b"))),
  refused(
    "NUL in a sparse name",
    "tar-name",
    rawTar({
      name: "s",
      content: "abc",
      pax: [
        ["GNU.sparse.major", "0"],
        ["GNU.sparse.minor", "1"],
        ["GNU.sparse.name", "a\0b"],
        ["GNU.sparse.size", "3"],
        ["GNU.sparse.numblocks", "1"],
        ["GNU.sparse.map", "0,3"],
      ],
    }),
  ),
  ...Object.entries(ODD_BYTES).map(([name, bytes]) => same(`name with ${name}`, rawTar(file(bytes)))),
  same("composed and decomposed form of a letter", rawTar(file("\u00e9", "1"), file("e\u0301", "2"))),
  same(
    "hdrcharset BINARY",
    rawTar({
      name: "x",
      pax: [
        ["hdrcharset", "BINARY"],
        ["path", Buffer.from([0x62, 0xff])],
      ],
    }),
  ),
  same("component of 255 bytes", rawTar(long("n".repeat(255)))),
  refused("component of 256 bytes", "tar-path-too-long", rawTar(long("n".repeat(256)))),
  refused("parent of 256 bytes", "tar-path-too-long", rawTar(long(`${"n".repeat(256)}/a`))),
  same("path of 3000 bytes", rawTar(long(`${`${"d".repeat(99)}/`.repeat(28)}${"n".repeat(200)}`))),
  refused(
    "path of 4097 bytes",
    "tar-path-too-long",
    rawTar(long(`${"d".repeat(99)}/`.repeat(40) + "n".repeat(97))),
  ),
  stricter(
    "1025 directories deep",
    "tar-path-too-long",
    rawTar(long(`${"d/".repeat(1025)}x`)),
    "a tree has at most 1024 levels",
  ),
  refused("10,000 directories deep", "tar-path-too-long", rawTar(long(`${"d/".repeat(10_000)}x`))),
  refused("100,000 components", "tar-path-too-long", rawTar(long(`${"d/".repeat(100_000)}x`))),
  stricter(
    "a long name that is short when cleaned",
    "tar-path-too-long",
    rawTar(long(`${"a/../".repeat(1000)}x`)),
    "a name has at most 4096 bytes as it stands",
  ),
  same("prefix of ustar", rawTar({ ...file("b"), prefix: "p/q" })),
  same("prefix in GNU's place of times", rawTar({ ...file("b"), format: "gnu", prefix: "not/octal" })),
  same("times in GNU's place", rawTar({ ...file("b"), format: "gnu", prefix: base256(5n, 12) })),
  same("prefix of star", rawTar({ ...file("b"), format: "star", prefix: "p" })),
  same("file twice", rawTar(file("a", "1"), file("a", "22"))),
  same("directory, file, directory", rawTar(dir("a"), file("a/b"), file("a"), dir("a"))),
  refused(
    "directory, what is in it, then a file in its place",
    "tar-directory-gone",
    rawTar(dir("a"), dir("a/b"), file("a"), dir("a")),
  ),
  same(
    "directory described twice",
    rawTar(dir("a"), file("a/b"), { ...dir("a"), mode: 0o700, uid: 7, mtime: 77 }),
  ),
  same(
    "directory below a link, described twice",
    rawTar(dir("a"), link("l", "a"), dir("l/b"), { ...dir("a/b"), mtime: 99 }),
  ),
  same("file, link, file", rawTar(file("a", "1"), link("a", "b"), file("a", "2"))),
  refused("file in a file", "tar-parent", rawTar(file("a"), file("a/b"))),
  refused("file far in a file", "tar-parent", rawTar(file("a"), file("a/b/c/d"))),
  refused(
    "file in a device",
    "tar-parent",
    rawTar({ name: "a", type: "3", major: 1, minor: 3 }, file("a/b")),
  ),
  same("directory replaced by a link", rawTar(dir("a"), dir("b"), file("a/x"), link("a", "b"))),
  refused(
    "directory replaced by a link to nothing",
    "tar-directory-gone",
    rawTar(dir("a"), link("a", "nothing")),
  ),
  same(
    "directory replaced by a file, which takes its time",
    rawTar({ ...dir("a"), mtime: 5 }, { ...file("a"), mtime: 9 }),
  ),
  same("write through a link", rawTar(dir("etc"), link("l", "/etc"), file("l/x"))),
  same("write through a link upwards", rawTar(dir("etc"), dir("d"), link("l", "/d/../etc"), file("/l/x"))),
  same(
    "write through links to links",
    rawTar(dir("etc"), dir("d"), link("d/e", "/etc"), link("l", "./d/e"), file("/l/x")),
  ),
  same(
    "write through a chain of relative links",
    rawTar(dir("a/b"), link("x", "a"), link("y", "x"), link("z", "y/b"), file("z/f")),
  ),
  same("write through a link to nothing", rawTar(link("l", "/made/anew"), file("l/x"))),
  same("write through a link far out", rawTar(dir("etc"), link("l", "../../../../../etc"), file("l/x"))),
  same(
    "node-tar chain a/b/c/up",
    rawTar(dir("a/b/c"), link("a/b/c/up", "../.."), link("a/b/escape", "c/up/../.."), file("a/b/escape/x")),
  ),
  refused(
    "node-tar hard link through its chain",
    "tar-hardlink-missing",
    rawTar(
      dir("a/b/c"),
      file("secret", "s"),
      link("a/b/c/up", "../.."),
      link("a/b/escape", "c/up/../.."),
      hard("exfil", "a/b/escape/secret"),
    ),
  ),
  same("name with .. behind a link", rawTar(dir("d/e"), link("l", "d/e"), file("l/../x"))),
  refused("link to itself as parent", "tar-link-loop", rawTar(link("l", "l"), file("l/x"))),
  refused(
    "two links to each other as parent",
    "tar-link-loop",
    rawTar(link("l", "m"), link("m", "l"), file("l/x")),
  ),
  refused("a link that grows", "tar-link-loop", rawTar(link("l", `${"l/".repeat(900)}x`), file("l/x"))),
  same(
    "empty file through a link",
    rawTar(dir("etc"), file("etc/a", "full"), link("l", "/etc"), file("/l/a", "")),
  ),
  same("directory over a link", rawTar(dir("etc"), link("l", "/etc"), dir("l"), file("l/x"))),
  same(
    "SymlinkOverridePath",
    rawTar(
      dir("foo"),
      dir("foo/tmp"),
      file("foo/tmp/b", "012"),
      link("foo", "/"),
      file("foo/tmp/b", "345"),
      dir("foo"),
      dir("foo/tmp"),
      file("foo/tmp/b", "678"),
    ),
  ),
  same(
    "GNU long name",
    rawTar(
      { name: "././@LongLink", type: "L", format: "gnu", content: `${"n".repeat(150)}\0` },
      { ...file("short"), format: "gnu" },
    ),
  ),
  same(
    "GNU long name wins over PAX",
    rawTar(
      { name: "././@LongLink", type: "L", content: "gnu-name\0" },
      { ...file("short"), pax: [["path", "pax-name"]] },
    ),
  ),
  same(
    "GNU long link",
    rawTar(
      { name: "././@LongLink", type: "K", format: "gnu", content: `${"t".repeat(150)}\0` },
      { ...link("l", "short"), format: "gnu" },
    ),
  ),
  same("GNU long name without bytes", rawTar({ name: "x", type: "L", size: 0 }, file("a"))),
  same(
    "GNU long names that nobody follows",
    Buffer.concat([rawTar(file("a")).subarray(0, 1024), rawHeader({ name: "x", type: "L", size: 0 })]),
  ),
  refused(
    "GNU long name of 2 MiB",
    "tar-header-too-large",
    rawTar({ name: "x", type: "L", content: Buffer.alloc(2 ** 21, 0x61) }, file("a")),
  ),
  stricter(
    "65 long names before an entry",
    "tar-header-too-large",
    rawTar(...Array.from({ length: 65 }, () => ({ name: "x", type: "L", content: "n" })), file("a")),
    "an entry has at most 64 extension headers",
  ),
];
