import { base256, rawTar } from "../../testing/tar/index.js";
import { refused, same, stricter, type TarCase } from "./tar-case.js";

const dir = (name: string, mode = 0o755) => ({ name, type: "5", mode });
const file = (name: string, content = "x") => ({ name, content });
const link = (name: string, target: string) => ({ name, type: "2", link: target });
const hard = (name: string, target: string) => ({ name, type: "1", link: target });
const passwd = [dir("etc", 0o770), file("/etc/passwd", "inside")] as const;

/** Hard links, as containerd's own TestBreakouts has them and more. */
export const linkCases: readonly TarCase[] = [
  same(
    "HardlinkRelative",
    rawTar(
      ...passwd,
      dir("breakouts"),
      link("breakouts/d1", "../../etc"),
      hard("breakouts/mypasswd", "/breakouts/d1/passwd"),
    ),
  ),
  same(
    "HardlinkDownAndOut",
    rawTar(
      ...passwd,
      dir("breakouts"),
      dir("downandout"),
      link("breakouts/d1", "../downandout/../../etc"),
      hard("breakouts/mypasswd", "/breakouts/d1/passwd"),
    ),
  ),
  same(
    "HardlinkAbsolute",
    rawTar(...passwd, link("localetc", "/etc"), hard("localpasswd", "/localetc/passwd")),
  ),
  same(
    "HardlinkRelativeLong",
    rawTar(...passwd, link("localetc", "../../../../../../../etc"), hard("localpasswd", "/localetc/passwd")),
  ),
  same(
    "HardlinkRelativeUpAndOut",
    rawTar(...passwd, link("localetc", "upandout/../../../etc"), hard("localpasswd", "/localetc/passwd")),
  ),
  same("HardlinkDirectRelative", rawTar(...passwd, hard("localpasswd", "../../../../../etc/passwd"))),
  same("HardlinkDirectAbsolute", rawTar(...passwd, hard("localpasswd", "/etc/passwd"))),
  same("SymlinkParentDirectory", rawTar(...passwd, link("..", "/etc/"), hard("localpasswd", "/etc/passwd"))),
  same("SymlinkEmptyFilename", rawTar(...passwd, link("", "/etc/"), hard("localpasswd", "/etc/passwd"))),
  same(
    "SymlinkParentRelative",
    rawTar(...passwd, link("localetc/sub/..", "/etc/"), hard("/localetc/localpasswd", "/etc/passwd")),
  ),
  same(
    "SymlinkSlashEnded",
    rawTar(...passwd, dir("localetc/", 0o770), hard("/localetc/localpasswd", "/etc/passwd")),
  ),
  same(
    "HardlinkSymlinkBeforeCreateTarget",
    rawTar(
      dir("etc", 0o770),
      link("localpasswd", "/etc/passwd"),
      hard("localpasswd-dup", "localpasswd"),
      file("/etc/passwd", "after"),
    ),
  ),
  same(
    "HardlinkSymlinkRelative",
    rawTar(...passwd, link("passwdlink", "../../../../../etc/passwd"), hard("localpasswd", "/passwdlink")),
  ),
  same(
    "HardlinkSymlinkAbsolute",
    rawTar(...passwd, link("passwdlink", "/etc/passwd"), hard("localpasswd", "/passwdlink")),
  ),
  same(
    "HardlinkSymlinkChmod",
    rawTar(link("outside", "/tmp/lazuli-canary"), { ...hard("sketchy", "outside"), mode: 0o777 }),
  ),
  refused("hard link to nothing", "tar-hardlink-missing", rawTar(hard("a", "b"))),
  refused("hard link to itself", "tar-hardlink-missing", rawTar(hard("a", "a"))),
  refused("hard link to itself, where a file was", "tar-hardlink-missing", rawTar(file("a"), hard("a", "a"))),
  refused("two hard links to each other", "tar-hardlink-missing", rawTar(hard("a", "b"), hard("b", "a"))),
  refused("hard link to a later entry", "tar-hardlink-missing", rawTar(hard("a", "b"), file("b"))),
  refused("hard link without a target", "tar-hardlink-target", rawTar(file("b"), hard("a", ""))),
  refused("hard link to a directory", "tar-hardlink-target", rawTar(dir("d"), hard("a", "d"))),
  refused("hard link to a directory with a slash", "tar-hardlink-target", rawTar(dir("d"), hard("a", "d/"))),
  refused("hard link to the root", "tar-hardlink-target", rawTar(hard("a", "/"))),
  refused("hard link to ..", "tar-hardlink-target", rawTar(hard("a", ".."))),
  refused("hard link to a file as directory", "tar-parent", rawTar(file("b"), hard("a", "b/c/d"))),
  refused("hard link through a file", "tar-hardlink-missing", rawTar(file("b"), hard("a", "b/c"))),
  same("hard link to a device", rawTar({ name: "d", type: "3", major: 1, minor: 3 }, hard("a", "d"))),
  same("hard link to a fifo", rawTar({ name: "d", type: "6" }, hard("a", "d"))),
  same("hard link to a hard link", rawTar(file("b"), hard("c", "b"), hard("a", "c"))),
  same("hard link over a directory with files", rawTar(file("d/x"), file("b"), hard("d", "b"))),
  same(
    "hard link has owner, mode and time",
    rawTar({ ...file("b"), mode: 0o4755 }, { ...hard("a", "b"), uid: 3, gid: 4, mode: 0o640, mtime: 12 }),
  ),
  same(
    "hard link to a file that is replaced later",
    rawTar(file("b", "old"), hard("a", "b"), file("b", "new")),
  ),
  same(
    "hard link with a size has no contents",
    rawTar(file("b"), { ...hard("a", "b"), size: 4096 }, file("c")),
  ),
  same(
    "link with a target of 4095 bytes",
    rawTar({ ...link("l", "x"), pax: [["linkpath", "t".repeat(4095)]] }),
  ),
  refused(
    "link with a target of 4096 bytes",
    "tar-symlink",
    rawTar({ ...link("l", "x"), pax: [["linkpath", "t".repeat(4096)]] }),
  ),
  refused("link without a target", "tar-symlink", rawTar(link("l", ""))),
  refused("NUL in a PAX linkpath", "tar-pax", rawTar({ ...link("l", "x"), pax: [["linkpath", "a\0b"]] })),
  same("link with a size has no contents", rawTar({ ...link("l", "x"), size: 700 }, file("c"))),
  same("directory with a size has no contents", rawTar({ ...dir("d"), size: 700 }, file("c"))),
];

const whiteout = (name: string) => file(name, "");

/** Whiteouts, on a layer that is not the lowest one. */
export const whiteoutCases: readonly TarCase[] = [
  same("whiteout", rawTar(whiteout("a/.wh.b"))),
  same("whiteout that is a directory", rawTar(dir("a/.wh.b"))),
  same("whiteout that is a link", rawTar(link("a/.wh.b", "/etc"))),
  same("whiteout through a link", rawTar(dir("etc"), link("l", "/etc"), whiteout("l/.wh.x"))),
  same("whiteout through a link to nothing", rawTar(link("l", "/dne"), whiteout("l/.wh.etc"))),
  same("whiteout with ..", rawTar(whiteout("dne/../.wh.etc"))),
  same("whiteout, then the name", rawTar(whiteout(".wh.a"), file("a"))),
  same("whiteout, then the name as directory", rawTar(whiteout(".wh.a"), dir("a"), file("a/b"))),
  refused("whiteout, then something in it", "tar-parent", rawTar(whiteout(".wh.a"), file("a/b"))),
  refused("the name, then its whiteout", "tar-whiteout-conflict", rawTar(file("a"), whiteout(".wh.a"))),
  refused("whiteout twice", "tar-whiteout-conflict", rawTar(whiteout(".wh.a"), whiteout(".wh.a"))),
  refused("WhiteoutRootParent", "tar-whiteout", rawTar(whiteout(".wh..."))),
  refused("WhiteoutParent", "tar-whiteout", rawTar(whiteout("etc/.wh..."))),
  refused("WhiteoutRoot", "tar-whiteout", rawTar(whiteout(".wh.."))),
  refused("WhiteoutCurrentDirectory", "tar-whiteout", rawTar(whiteout("etc/.wh.."))),
  refused("whiteout of nothing", "tar-whiteout", rawTar(whiteout(".wh."))),
  refused("whiteout of nothing with a slash", "tar-whiteout", rawTar(dir(".wh./"))),
  refused(
    "whiteout of nothing in a link",
    "tar-whiteout",
    rawTar(dir("d"), link("l", "d"), whiteout("l/.wh.")),
  ),
  same("opaque directory", rawTar(dir("a"), whiteout("a/.wh..wh..opq"), file("a/b"))),
  same("opaque marker behind the files", rawTar(dir("a"), file("a/b"), whiteout("a/.wh..wh..opq"))),
  same("opaque marker twice", rawTar(whiteout("a/.wh..wh..opq"), whiteout("a/.wh..wh..opq"))),
  same("opaque root", rawTar(whiteout(".wh..wh..opq"), file("a"))),
  same("opaque through a link", rawTar(dir("d"), link("l", "d"), whiteout("l/.wh..wh..opq"))),
  refused("opaque marker in a file", "tar-parent", rawTar(file("a"), whiteout("a/.wh..wh..opq"))),
  same("opaque directory that is replaced", rawTar(whiteout("a/.wh..wh..opq"), file("a"))),
  stricter(
    "WhiteoutDirectoryName",
    "tar-whiteout-parent",
    rawTar(file(".wh.etc/somefile", "non-empty")),
    "a directory named like a whiteout can't be told from one in the tree",
  ),
  refused(
    "hard link to a whiteout's marker",
    "tar-hardlink-missing",
    rawTar(whiteout(".wh.a"), hard("b", ".wh.a")),
  ),
  stricter(
    "hard link to what a whiteout hides",
    "tar-hardlink-missing",
    rawTar(whiteout(".wh.a"), hard("b", "a")),
    "containerd links to the device that it has made of the whiteout",
  ),
  same("device 0:0", rawTar({ name: "a", type: "3", major: 0, minor: 0 })),
];

const device = (major: number | Buffer, minor: number | Buffer) => ({ name: "d", type: "3", major, minor });

const WRAPS = "containerd 1.6 cuts the number to 32 bits and makes another device";
const OWNER_WRAPS = "the kernel gets 32 bits of the number, so that 2^32 is root, and -1 changes nothing";

/** Types, devices, owners, modes. */
export const typeCases: readonly TarCase[] = [
  same("character device", rawTar(device(1, 3))),
  same("block device with large numbers", rawTar({ ...device(0, 0), type: "4", major: 259, minor: 300_000 })),
  same("fifo", rawTar({ name: "f", type: "6", mode: 0o620 })),
  same(
    "setuid, setgid and sticky",
    rawTar(
      { ...file("a"), mode: 0o7777 },
      { ...dir("d"), mode: 0o7755 },
      { name: "f", type: "6", mode: 0o4600 },
    ),
  ),
  same("mode with type bits", rawTar({ ...file("a"), mode: 0o100644 })),
  same("mode in base-256", rawTar({ ...file("a"), mode: base256(0o4711n, 8) })),
  same("negative mode", rawTar({ ...file("a"), mode: base256(-1n, 8) })),
  same("PAX global header", rawTar({ name: "pax_global_header", type: "g", content: "" }, file("a"))),
  same(
    "global header with the path of a file",
    rawTar(file("a"), { name: "g", type: "g", content: "10 path=a\n" }, file("b")),
  ),
  same(
    "global header named like a file",
    rawTar(file("d/a"), { name: "d", type: "g", content: "" }, file("b")),
  ),
  same(
    "global header changes nothing",
    rawTar({ name: "g", type: "g", content: "17 path=poisoned\n10 size=0\n8 uid=7\n" }, file("a")),
  ),
  refused("socket of no known type", "tar-entry-type", rawTar({ name: "s", type: "s" })),
  refused("type Z", "tar-entry-type", rawTar({ name: "z", type: "Z" })),
  same("type Z at the root", rawTar({ name: "./", type: "Z" }, file("a"))),
  refused("type 7, contiguous", "tar-entry-type", rawTar({ ...file("z"), type: "7" })),
  refused("type D, GNU dump", "tar-entry-type", rawTar({ name: "z", type: "D" })),
  refused("type V, GNU volume", "tar-entry-type", rawTar({ name: "volume", type: "V" })),
  refused("type M, GNU multi-volume", "tar-multi-volume", rawTar({ ...file("m"), type: "M", format: "gnu" })),
  refused("type X, Solaris", "tar-entry-type", rawTar({ name: "z", type: "X" })),
  stricter("device major -1", "tar-device", rawTar(device(base256(-1n, 8), 0)), WRAPS),
  stricter("device minor -1", "tar-device", rawTar(device(1, base256(-1n, 8))), WRAPS),
  stricter("device major 2^12", "tar-device", rawTar(device(4096, 0)), WRAPS),
  stricter("device minor 2^20", "tar-device", rawTar(device(1, 2 ** 20)), WRAPS),
  stricter("device major 2^32", "tar-device", rawTar(device(base256(2n ** 32n, 8), 0)), WRAPS),
  stricter("device minor 2^32", "tar-device", rawTar(device(1, base256(2n ** 32n, 8))), WRAPS),
  stricter("device major 2^63", "tar-number", rawTar(device(base256(2n ** 62n, 8), 0)), WRAPS),
  refused(
    "device numbers that are none, of a file",
    "tar-number",
    rawTar({ ...file("a"), major: Buffer.from("12x4567") }),
  ),
  same("owner 2^31", rawTar({ ...file("a"), uid: base256(2n ** 31n, 8), gid: base256(2n ** 31n, 8) })),
  same("owner 2^32-2", rawTar({ ...file("a"), uid: base256(2n ** 32n - 2n, 8) })),
  stricter("owner -1", "tar-owner", rawTar({ ...file("a"), uid: base256(-1n, 8) }), OWNER_WRAPS),
  stricter(
    "owner 2^32-1",
    "tar-owner",
    rawTar({ ...file("a"), uid: base256(2n ** 32n - 1n, 8) }),
    OWNER_WRAPS,
  ),
  stricter("owner 2^32", "tar-owner", rawTar({ ...file("a"), uid: base256(2n ** 32n, 8) }), OWNER_WRAPS),
  stricter(
    "group 2^32 in PAX",
    "tar-owner",
    rawTar({ ...file("a"), pax: [["gid", "4294967296"]] }),
    OWNER_WRAPS,
  ),
  refused("owner that is none", "tar-number", rawTar({ ...file("a"), uid: "12a4567" })),
  refused("owner in PAX that is none", "tar-number", rawTar({ ...file("a"), pax: [["uid", "1e3"]] })),
  same("owner in PAX with sign and zeros", rawTar({ ...file("a"), pax: [["uid", "+0007"]] })),
];
