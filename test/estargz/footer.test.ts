import t from "tap";
import { parseFooter } from "../../src/estargz/index.js";
import { footerBytes } from "../../testing/estargz-builder.js";

const BLOB_SIZE = 0x2000;
const estargz =
  "1f8b08040000000000ff1a00534716003030303030303030303030303132333453544152475a010000ffff0000000000000000";
const legacy =
  "1f8b08040000000000ff16003030303030303030303030303132333453544152475a010000ffff0000000000000000";
const external =
  "1f8b08040000000000ff15005347110053544152475a45585445524e414c544f43010000ffff0000000000000000";

t.test("parseFooter() reads the three footers of the format", async (t) => {
  const bytes = (hex: string): Buffer => Buffer.from(hex, "hex");
  t.same(parseFooter(bytes(estargz), BLOB_SIZE), { kind: "estargz", footerSize: 51, tocOffset: 0x1234 });
  t.same(parseFooter(bytes(external), BLOB_SIZE), { kind: "external", footerSize: 46 });
  t.same(parseFooter(bytes(legacy), BLOB_SIZE), { kind: "legacy", footerSize: 47, tocOffset: 0x1234 });
  const behindOthers = Buffer.concat([Buffer.alloc(1000, 0xff), bytes(estargz)]);
  t.same(parseFooter(behindOthers, BLOB_SIZE), { kind: "estargz", footerSize: 51, tocOffset: 0x1234 });
});

t.test("parseFooter() takes any extra flags and operating system in the gzip header", async (t) => {
  const footer = Buffer.from(estargz, "hex");
  footer.writeUInt16LE(0x0302, 8);
  t.equal(parseFooter(footer, BLOB_SIZE).kind, "estargz");
});

t.test("parseFooter() takes each offset that leaves room for a TOC, and no other", async (t) => {
  const refused = { code: "INVALID_ARGUMENT", reason: "footer-offset-out-of-range" };
  for (const [kind, size] of [
    ["estargz", 51],
    ["legacy", 47],
  ] as const) {
    for (const offset of [0, 1, BLOB_SIZE - size - 1]) {
      t.same(parseFooter(footerBytes(kind, offset), BLOB_SIZE), {
        kind,
        footerSize: size,
        tocOffset: offset,
      });
    }
    for (const offset of [BLOB_SIZE - size, BLOB_SIZE, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n]) {
      t.throws(() => parseFooter(footerBytes(kind, offset), BLOB_SIZE), refused, `${kind} ${offset}`);
    }
  }
});

t.test("footerBytes() of the builder writes the bytes of the format's description", async (t) => {
  t.equal(footerBytes("estargz", 0x1234).toString("hex"), estargz);
  t.equal(footerBytes("legacy", 0x1234).toString("hex"), legacy);
  t.equal(footerBytes("external", 0).toString("hex"), external);
});
