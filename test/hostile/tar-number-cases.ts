import { base256, rawEntries, rawHeader, rawTar } from "../../testing/tar/index.js";
import { refused, same, stricter, type TarCase } from "./tar-case.js";

type Records = readonly (readonly [string | Buffer, string | Buffer])[];

const file = (content = "x", name = "a") => ({ name, content });
const withPax = (pax: Records, content = "x") => ({ ...file(content), pax });
const rawPax = (text: string | Buffer) => rawTar({ ...file(), rawPax: text });
const after = file("after", "z");

/** Sizes, times, checksums and ends. */
export const numberCases: readonly TarCase[] = [
  same("mtime 2^33 in octal", rawTar({ ...file(), mtime: "77777777777" })),
  same("mtime before 1970", rawTar({ ...file(), mtime: base256(-5n, 12) })),
  same("mtime -2^63", rawTar(withPax([["mtime", "-9223372036854775808"]]))),
  same("mtime with nanoseconds", rawTar(withPax([["mtime", "1600000000.123456789123"]]))),
  same("mtime just before 1970", rawTar(withPax([["mtime", "-0.5"]]))),
  same("mtime of the last nanosecond", rawTar(withPax([["mtime", "9223372036.854775807"]]))),
  same("mtime behind the last nanosecond", rawTar(withPax([["mtime", "9223372036.854775808"]]))),
  refused("mtime 10^20", "tar-time", rawTar(withPax([["mtime", "100000000000000000000"]]))),
  refused("mtime NaN", "tar-time", rawTar(withPax([["mtime", "NaN"]]))),
  refused("mtime with two points", "tar-time", rawTar(withPax([["mtime", "1.2.3"]]))),
  refused("mtime without seconds", "tar-time", rawTar(withPax([["mtime", ".5"]]))),
  refused("mtime with an exponent", "tar-time", rawTar(withPax([["mtime", "1e9"]]))),
  refused("atime that is none", "tar-time", rawTar(withPax([["atime", "x"]]))),
  refused("mtime in octal that is none", "tar-number", rawTar({ ...file(), mtime: "1234567890x" })),
  same("size with spaces around", rawTar({ ...file("abc"), size: "      3    " })),
  same("size without zeros", rawTar({ ...file("abc"), size: Buffer.from("3\0") })),
  refused("size that is none", "tar-number", rawTar({ ...file(), size: "0000000001z" })),
  refused("size with an 8", "tar-number", rawTar({ ...file(), size: "00000000008" })),
  refused("size with a sign", "tar-number", rawTar({ ...file(), size: "-0000000001" })),
  refused("size in base-256 above 2^63", "tar-number", rawTar({ ...file(), size: base256(2n ** 70n, 12) })),
  refused(
    "size in base-256 above 16 TiB",
    "tar-file-too-large",
    rawTar({ ...file(), size: base256(2n ** 45n, 12) }),
  ),
  refused("negative size", "tar-size", rawTar({ ...file(), size: base256(-1n, 12) })),
  refused(
    "negative size that PAX mends",
    "tar-size",
    rawTar({ ...withPax([["size", "1"]]), size: base256(-1n, 12) }),
  ),
  same("size of PAX is larger", rawTar({ ...withPax([["size", "5"]], "12345"), size: 0 }, after)),
  same("size of PAX is smaller", rawTar({ ...withPax([["size", "2"]], "12345"), size: 5 }, after)),
  refused("size of PAX reaches behind the end", "tar-truncated", rawTar(withPax([["size", "1000000"]]))),
  refused("size of PAX is negative", "tar-size", rawTar(withPax([["size", "-1"]]))),
  refused("size of PAX is none", "tar-number", rawTar(withPax([["size", "0x10"]]))),
  refused("size of PAX is 2^63", "tar-number", rawTar(withPax([["size", "9223372036854775808"]]))),
  refused(
    "size of PAX hides a header",
    "tar-checksum",
    rawTar({ ...withPax([["size", "512"]], Buffer.alloc(1024, 0x41).toString()), size: 1024 }, after),
  ),
  refused("wrong checksum", "tar-checksum", rawTar({ ...file(), checksum: "wrong" })),
  refused("checksum that is none", "tar-checksum", rawTar({ ...file(), checksum: "xyz" })),
  refused("checksum in base-256", "tar-checksum", rawTar({ ...file(), checksum: "\x80\0\0\0\0\0\0\0" })),
  refused("no checksum", "tar-checksum", rawTar({ ...file(), checksum: "\0" })),
  same("signed checksum", rawTar({ name: Buffer.from([0x61, 0xff]), checksum: "signed" })),
  same("empty archive", rawTar()),
  same("no bytes", Buffer.alloc(0)),
  same("no end blocks", rawEntries(file())),
  same("one end block", Buffer.concat([rawEntries(file()), Buffer.alloc(512)])),
  same("without the last padding", rawEntries(file("abc")).subarray(0, 512 + 3)),
  same("with half of the last padding", rawEntries(file("abc")).subarray(0, 512 + 100)),
  same("data behind the end", Buffer.concat([rawTar(file()), Buffer.alloc(1000, 0x41)])),
  same("another archive behind the end", Buffer.concat([rawTar(file()), rawTar(after)])),
  refused(
    "header behind one block of zeros",
    "tar-end-malformed",
    Buffer.concat([rawEntries(file()), Buffer.alloc(512), rawTar(after)]),
  ),
  refused(
    "half a block of zeros at the end",
    "tar-truncated",
    Buffer.concat([rawEntries(file()), Buffer.alloc(700)]),
  ),
  refused("text instead of an archive", "tar-checksum", Buffer.alloc(1024, "not a tar ")),
  refused("a gzip stream", "tar-truncated", Buffer.from("1f8b0800000000000003", "hex")),
];

/** Extension headers. */
export const paxCases: readonly TarCase[] = [
  same("PAX header without records", rawPax("")),
  refused("PAX record of length 0", "tar-pax", rawPax("0 a=b\n")),
  refused("PAX record that is too short", "tar-pax", rawPax("4 a=\n")),
  refused("PAX record that is too long", "tar-pax", rawPax("99 path=b\n")),
  refused("PAX record that cuts the next one", "tar-pax", rawPax("12 path=bb\n11 uid=17\n")),
  refused("PAX record with its length only", "tar-pax", rawPax("5 abcdefg")),
  refused("PAX record whose length covers itself only", "tar-pax", rawPax("00006 a=b\n")),
  refused("PAX record without =", "tar-pax", rawPax("9 path b\n")),
  refused("PAX record without newline", "tar-pax", rawPax("9 path=bb")),
  refused("PAX record without key", "tar-pax", rawPax("6 =ab\n")),
  refused("PAX record with NUL in its key", "tar-pax", rawPax("9 pa\0h=b\n")),
  refused("PAX record with a negative length", "tar-pax", rawPax("-9 path=b\n")),
  refused("PAX record with a length in hex", "tar-pax", rawPax("0x9 path=b\n")),
  refused("PAX record with a length of 30 digits", "tar-pax", rawPax(`${"0".repeat(29)}9 path=b\n`)),
  refused("PAX records with junk behind", "tar-pax", rawPax("10 path=b\n\n")),
  refused("PAX records with NULs behind", "tar-pax", rawPax("9 path=b\n\0\0\0\0")),
  same("PAX length with a zero before it", rawPax("011 path=b\n")),
  same(
    "PAX path twice",
    rawTar(
      withPax([
        ["path", "b"],
        ["path", "c"],
      ]),
    ),
  ),
  same("PAX path empty", rawTar(withPax([["path", ""]]))),
  same("PAX value with = and newline", rawTar(withPax([["path", "a=b\nc"]]))),
  same(
    "PAX keys that nobody knows",
    rawTar(
      withPax([
        ["comment", "x"],
        ["VENDOR.key", "\0\u00ff"],
      ]),
    ),
  ),
  same(
    "PAX header twice, the second one counts",
    rawTar({ name: "x", type: "x", content: "8 uid=7\n" }, withPax([["gid", "8"]])),
  ),
  same(
    "PAX header before a global one is lost",
    rawTar({ name: "x", type: "x", content: "8 uid=7\n" }, { name: "g", type: "g", content: "" }, file()),
  ),
  same("PAX header at the end", rawTar(file(), { name: "x", type: "x", content: "8 uid=7\n" })),
  refused("PAX header that is cut", "tar-truncated", rawHeader({ name: "x", type: "x", size: 100 })),
  refused("PAX header of 1 GiB", "tar-header-too-large", rawTar({ name: "x", type: "x", size: 2 ** 30 })),
  refused(
    "PAX header of a byte above 1 MiB",
    "tar-header-too-large",
    rawTar({ name: "x", type: "x", content: Buffer.alloc(2 ** 20 + 1, 0x61) }),
  ),
  same(
    "PAX header of 100,000 records",
    rawPax(
      Array.from({ length: 100_000 }, (_, index) => `8 k${String(index % 100).padStart(2, "0")}=v\n`).join(
        "",
      ),
    ),
  ),
  refused("broken global header", "tar-pax", rawTar({ name: "g", type: "g", content: "5 abcdefg" }, file())),
];

const CAPABILITY_2 = Buffer.from("0100000200040000000000000000000000000000", "hex");
const CAPABILITY_3 = Buffer.from("010000030004000000000000000000000000000005000000", "hex");
const ACL = (...rows: readonly (readonly [tag: number, permissions: number, id: number])[]): Buffer => {
  const list = Buffer.alloc(4 + 8 * rows.length);
  list.writeUInt32LE(2, 0);
  for (const [index, [tag, permissions, id]] of rows.entries()) {
    list.writeUInt16LE(tag, 4 + 8 * index);
    list.writeUInt16LE(permissions, 6 + 8 * index);
    list.writeUInt32LE(id, 8 + 8 * index);
  }
  return list;
};
const NOBODY = 0xffffffff;
const NAMED_ACL = ACL([1, 6, NOBODY], [2, 4, 1000], [4, 4, NOBODY], [16, 6, NOBODY], [32, 4, NOBODY]);
const MINIMAL_ACL = ACL([1, 6, NOBODY], [4, 4, NOBODY], [32, 4, NOBODY]);

const xattr = (name: string, value: string | Buffer, entry: object = {}) =>
  rawTar({ ...file(), ...entry, pax: [[`SCHILY.xattr.${name}`, value]] });

/** Extended attributes. */
export const xattrCases: readonly TarCase[] = [
  same("user xattr with any bytes", xattr("user.note", Buffer.from([0, 1, 255, 10, 61]))),
  same("user xattr without a value", xattr("user.empty", "")),
  same("user xattr of a link is left out", xattr("user.note", "x", { type: "2", link: "b", content: "" })),
  same(
    "user xattr of a device is left out",
    xattr("user.note", "x", { type: "3", major: 1, minor: 3, content: "" }),
  ),
  same("user xattr of a directory", xattr("user.note", "x", { type: "5", content: "" })),
  same(
    "directory that comes twice keeps its xattrs",
    rawTar(
      {
        name: "d",
        type: "5",
        pax: [
          ["SCHILY.xattr.user.one", "1"],
          ["SCHILY.xattr.user.two", "2"],
        ],
      },
      { name: "d", type: "5", pax: [["SCHILY.xattr.user.two", "3"]] },
    ),
  ),
  same("trusted xattr is left out", xattr("trusted.note", "x")),
  same(
    "trusted.overlay.opaque is left out",
    xattr("trusted.overlay.opaque", "y", { type: "5", content: "" }),
  ),
  same("trusted.overlay.redirect is left out", xattr("trusted.overlay.redirect", "/etc")),
  same("trusted.overlay.metacopy is left out", xattr("trusted.overlay.metacopy", "")),
  same("unknown family is left out", xattr("made.up", "x")),
  same("name without family is left out", xattr("plain", "x")),
  same("LIBARCHIVE.xattr is not applied", rawTar(withPax([["LIBARCHIVE.xattr.user.note", "aGk"]]))),
  same(
    "SCHILY.acl is not applied",
    rawTar(withPax([["SCHILY.acl.access", "user::rwx,group::r-x,other::r-x"]])),
  ),
  same("security xattr", xattr("security.selinux.note", "system_u")),
  same("capability, revision 2", xattr("security.capability", CAPABILITY_2)),
  same("capability, revision 3 for another root", xattr("security.capability", CAPABILITY_3)),
  refused(
    "capability, revision 1",
    "tar-xattr",
    xattr("security.capability", Buffer.from("010000010004000000000000", "hex")),
  ),
  refused(
    "capability, revision 9",
    "tar-xattr",
    xattr("security.capability", Buffer.concat([Buffer.from("01000009", "hex"), CAPABILITY_2.subarray(4)])),
  ),
  refused("capability that is cut", "tar-xattr", xattr("security.capability", CAPABILITY_2.subarray(0, 19))),
  stricter(
    "capability without bytes",
    "tar-xattr",
    xattr("security.capability", ""),
    "a kernel stores it, and then can't read it",
  ),
  same(
    "hard link takes the capability away",
    rawTar(withPax([["SCHILY.xattr.security.capability", CAPABILITY_2]]), {
      name: "b",
      type: "1",
      link: "a",
    }),
  ),
  same(
    "hard link brings a capability",
    rawTar(file(), {
      name: "b",
      type: "1",
      link: "a",
      pax: [["SCHILY.xattr.security.capability", CAPABILITY_2]],
    }),
  ),
  same(
    "hard link keeps other xattrs",
    rawTar(withPax([["SCHILY.xattr.user.note", "x"]]), { name: "b", type: "1", link: "a", mode: 0o600 }),
  ),
  same("ACL follows the mode", xattr("system.posix_acl_access", NAMED_ACL, { mode: 0o751 })),
  same("ACL that says what the mode says", xattr("system.posix_acl_access", MINIMAL_ACL)),
  same("ACL without entries", xattr("system.posix_acl_access", ACL())),
  same(
    "ACL of a link is left out",
    xattr("system.posix_acl_access", NAMED_ACL, { type: "2", link: "b", content: "" }),
  ),
  same(
    "ACL of another version is left out",
    xattr("system.posix_acl_access", Buffer.from("03000000", "hex")),
  ),
  same(
    "ACL stays when a hard link changes the mode",
    rawTar(withPax([["SCHILY.xattr.system.posix_acl_access", NAMED_ACL]]), {
      name: "b",
      type: "1",
      link: "a",
      mode: 0o640,
    }),
  ),
  refused("ACL that is cut", "tar-acl", xattr("system.posix_acl_access", NAMED_ACL.subarray(0, 20))),
  refused("ACL without its others", "tar-acl", xattr("system.posix_acl_access", NAMED_ACL.subarray(0, 36))),
  refused(
    "ACL out of order",
    "tar-acl",
    xattr("system.posix_acl_access", ACL([4, 6, NOBODY], [1, 4, NOBODY], [32, 4, NOBODY])),
  ),
  refused(
    "ACL with permissions of 9",
    "tar-acl",
    xattr("system.posix_acl_access", ACL([1, 9, NOBODY], [4, 4, NOBODY], [32, 4, NOBODY])),
  ),
  refused("default ACL of a file", "tar-acl", xattr("system.posix_acl_default", NAMED_ACL)),
  stricter(
    "default ACL of a directory",
    "tar-acl-default",
    xattr("system.posix_acl_default", NAMED_ACL, { type: "5", content: "" }),
    "whatever containerd unpacks into that directory inherits from it",
  ),
  refused("xattr without a name", "tar-xattr", xattr("", "x")),
  refused("xattr named user.", "tar-xattr", xattr("user.", "x")),
  refused("xattr named security.", "tar-xattr", xattr("security.", "x")),
  refused("xattr with a name of 256 bytes", "tar-xattr", xattr(`user.${"n".repeat(251)}`, "x")),
  refused("xattr of 64 KiB and a byte", "tar-xattr", xattr("user.big", "v".repeat(65_537))),
];
